from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.fomo import build, fits, recognise, shows
from edgenn.ops.preprocess import Resize, geometry

SIZE, LABELS = (32, 48), ("cup", "pen")


def _map(cells):
    """(1, 4, 6, 3) with so much of a class as {(row, column): (class, share)} says."""
    values = np.zeros((1, 4, 6, 3), np.float32)
    values[..., 0] = 1
    for (y, x), (k, share) in cells.items():
        values[0, y, x, [0, 1 + k]] = 1 - share, share
    return values


@pytest.mark.parametrize("planar", [False, True])
def test_cells_that_touch_are_one_thing_of_their_class(planar):
    values = _map(
        {
            (0, 0): (0, 0.6), (1, 1): (0, 0.9), (1, 2): (0, 0.7),  # joined at a corner and a side
            (2, 3): (1, 0.8),  # touches, but is a pen
            (3, 5): (0, 0.55),
            (0, 5): (1, 0.4),  # too little
        }
    )  # fmt: skip
    values = values.transpose(0, 3, 1, 2) if planar else values
    found = build({}, LABELS, SIZE)({"map": values}, geometry((64, 96), Resize(SIZE)))
    told = {tuple(box): (found.name(i), found.scores[i]) for i, box in enumerate(found.boxes)}
    assert told == {
        (0, 0, 48, 32): ("cup", np.float32(0.9)),
        (48, 32, 64, 48): ("pen", np.float32(0.8)),
        (80, 48, 96, 64): ("cup", np.float32(0.55)),
    }


def test_nothing_is_found_where_there_is_nothing_or_nothing_sound():
    assert len(build({}, LABELS, SIZE)({"map": _map({})}, None)) == 0
    assert (
        len(build({}, LABELS, SIZE)({"map": np.full((1, 4, 6, 3), np.nan, np.float32)}, None)) == 0
    )


def test_another_shape_is_refused():
    with pytest.raises(ModelError, match=r"the fomo layout needs \(1, 4, 6, 3\)"):
        build({}, LABELS, SIZE)({"map": np.zeros((1, 4, 6, 4), np.float32)}, None)


@pytest.mark.parametrize("shape", [(1, 4, 6, 3), (1, 3, 4, 6)])
def test_shares_of_one_make_it_sure(shape):
    match = recognise(Foreign({}, {"y": shape}, SIZE))
    assert (match.classes, match.sure) == (2, False)
    values = _map({(0, 0): (1, 0.25)})
    values = values if shape[3] == 3 else values.transpose(0, 3, 1, 2)
    assert fits(match, [{"map": values}])
    assert shows(match, [{"map": values}], SIZE)
    assert not fits(match, [{"map": values}, {"map": values * 0.9}])
    assert not fits(match, [{"map": values - 1 / 3}])


@pytest.mark.parametrize("shape", [(1, 4, 6, 1), (1, 5, 6, 3), (1, 24, 3), (2, 4, 6, 3)])
def test_other_shapes_are_not_recognised(shape):
    assert recognise(Foreign({}, {"y": shape}, SIZE)) is None
