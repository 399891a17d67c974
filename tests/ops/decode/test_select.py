from __future__ import annotations

import numpy as np
import pytest

from edgenn.ops.decode._foreign import Kept
from edgenn.ops.decode._select import above, finish


def _set(rows, columns, values):
    return set(zip(rows.tolist(), columns.tolist(), values.tolist(), strict=True))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("least", [0.5, np.float32([0.2, 0.5, 0.9])])
def test_what_is_large_enough_is_found_in_any_order_of_memory(order, least):
    values = np.random.default_rng(0).uniform(0, 1, (50, 3)).astype(np.float32)
    values[3] = (np.nan, np.inf, -np.inf)
    values = np.asarray(values, order=order)
    limits = np.broadcast_to(least, 3)
    expected = {
        (i, j, float(values[i, j]))
        for i in range(50)
        for j in range(3)
        if np.isfinite(values[i, j]) and values[i, j] >= limits[j]
    }
    assert 20 < len(expected) < 130
    assert _set(*above(values, least)) == expected


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_there_may_be_nothing(shape):
    assert [len(part) for part in above(np.zeros(shape, np.float32), 0.5)] == [0, 0, 0]


def test_a_layout_that_suppresses_nothing_only_sorts_and_cuts():
    boxes = np.tile(np.float32([0, 0, 9, 9]), (4, 1))
    scores = np.float32([0.2, 0.9, 0.2, 0.5])
    ids = np.arange(4)
    found = finish((boxes, scores, ids), Kept(3), ("a", "b", "c", "d"), None)
    assert found.class_ids.tolist() == [1, 3, 0]
