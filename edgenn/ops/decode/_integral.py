"""Distances as distributions: Generalized Focal Loss, Li et al. 2020 (arXiv 2006.04388).

Each of the distances from a point to the left, top, right and bottom edge is the mean of a
distribution over 0, 1, ..., R cells, of which the net gives R + 1 logits.
"""

from __future__ import annotations

import numpy as np

from edgenn.ops.decode._foreign import softmax
from edgenn.types import Floats


def integral(logits: Floats) -> Floats:
    """(N, 4) distances in cells of logits (N, 4 * (R + 1)); NaN where one is not finite."""
    split = logits.reshape(len(logits), 4, logits.shape[1] // 4)
    steps = np.arange(split.shape[2], dtype=np.float32)
    return np.asarray(softmax(split) @ steps, np.float32)


def boxes(logits: Floats, points: Floats, strides: Floats) -> Floats:
    """(N, 4) x1 y1 x2 y2 in net pixels.

    Args:
        logits: (N, 4 * (R + 1)).
        points: (N, 2) x y in net pixels.
        strides: (N, 1) net pixels per cell.
    """
    reach = integral(logits) * strides
    return np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)
