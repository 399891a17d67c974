"""Grids of cells, as detectors lay them over a picture."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats

# exp of more than this many cells is no box but a damaged model.
MAX_LOG = 8.0


def cell_count(size: tuple[int, int], strides: Iterable[int]) -> int:
    """How many cells the grids of these strides have on a picture of height, width."""
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def centers(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Centres of all cells in net pixels, and their strides.

    Args:
        size: Height and width of the net's input.
        strides: Net pixels per cell of each grid.

    Returns:
        (N, 2) x y and (N, 1) stride, both float32.
    """
    points, scales = [], []
    for stride in strides:
        rows, columns = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        points.append((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride)
        scales.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(scales)


def cells_off(
    middles: NDArray[np.floating[Any]], size: tuple[int, int], strides: tuple[int, ...]
) -> float:
    """How many cells boxes are off their own, as the median; what is decoded lies near.

    Args:
        middles: (S, N, 2) x y in net pixels of the boxes of all cells, of several pictures.
        size: Height and width of the net's input.
        strides: Net pixels per cell of each grid.
    """
    points, scales = centers(size, strides)
    return float(np.median(np.abs((middles - points) / scales)))


def points_of(
    values: Floats, corners: NDArray[np.floating[Any]], steps: Floats, scores: Floats
) -> Floats:
    """(N, K, 3) key points in net pixels, with the score of their box.

    Args:
        values: (N, 2K) x and y of each in cells from the cell's corner.
        corners: (N, 2) x y of the cells' corners in net pixels.
        steps: (N, 1) strides.
        scores: (N,) of the boxes.
    """
    places = corners[:, None] + values.reshape(len(values), -1, 2) * steps[:, None]
    each = np.broadcast_to(scores[:, None, None], (*places.shape[:2], 1))
    return np.concatenate([places, each], 2).astype(np.float32)
