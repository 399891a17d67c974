from __future__ import annotations

import pytest

from edgenn.runtime._shapes import holding


@pytest.mark.parametrize(
    ("file", "wanted", "shape"),
    [
        ((1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 8, 8)),
        ((-1, 3, -1, -1), (1, 3, 8, 9), (1, 3, 8, 9)),
        ((1, 8, 9), (1, 1, 8, 9), (1, 8, 9)),
        ((1, 6), (1, 1, 6), (1, 6)),
        ((-1, 6), (1, 1, 6), (1, 6)),
        ((50, 1, 6), (1, 50, 6), (50, 1, 6)),
        ((1, 50, 6, 1), (1, 50, 6), (1, 50, 6, 1)),
        ((-1, -1, 6, 1), (1, 50, 6), (1, 50, 6, 1)),
        ((1, 300), (1, 50, 6), (1, 300)),
        ((1, -1, 1), (1, 1, 1), (1, 1, 1)),
    ],
)
def test_the_same_numbers_in_the_same_order_fit(file, wanted, shape):
    assert holding(file, wanted) == shape


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ((1, 8, 8, 3), (1, 3, 8, 8)),
        ((1, 6, 50), (1, 50, 6)),
        ((2, 50, 6), (1, 50, 6)),
        ((1, 301), (1, 50, 6)),
        ((), (1, 50, 6)),
        ((-1,) * 200, (1, 50, 6)),
    ],
)
def test_others_do_not(file, wanted):
    assert holding(file, wanted) is None
