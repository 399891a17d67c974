"""Boxes as (N, 4) float32 arrays, x1 y1 x2 y2."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats

# What the four numbers are that a detector gives per cell: see `edgenn.ops.decode.ltrb`.
Form = Literal["edges", "centre"]


def area(boxes: Floats) -> Floats:
    """(N,) areas; 0 for boxes that are inside out."""
    sides = (boxes[:, 2:] - boxes[:, :2]).clip(min=0)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def iou(a: Floats, b: Floats) -> Floats:
    """(N, M) intersection over union of every box of ``a`` with every box of ``b``."""
    # Plane by plane: three times as fast as with the coordinates on the last axis.
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T[:, :, None], b.T[:, None, :]
    inter = (np.minimum(ax2, bx2) - np.maximum(ax1, bx1)).clip(min=0)
    inter *= (np.minimum(ay2, by2) - np.maximum(ay1, by1)).clip(min=0)
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float32)


def nms(
    boxes: Floats, scores: Floats, class_ids: NDArray[np.int64], iou_threshold: float, max_det: int
) -> NDArray[np.int64]:
    """Class-aware greedy non-maximum suppression.

    All boxes at once instead of one after another, until nothing changes: Cluster-NMS,
    Zheng et al. 2020 (https://arxiv.org/abs/2005.03572), whose result is the same.

    Args:
        boxes: (N, 4) float32.
        scores: (N,) float32.
        class_ids: (N,) int64; boxes of different classes never suppress each other.
        iou_threshold: Overlap above which the weaker box goes, 0..1.
        max_det: At most so many survive.

    Returns:
        Indices of the survivors, best score first; equal scores keep their order.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, classes = boxes[order], class_ids[order]
    overlaps = (iou(ranked, ranked) > iou_threshold) & (classes[:, None] == classes[None, :])
    # [i, j]: the better box i rules j out, if it is not ruled out itself.
    rules_out = np.triu(overlaps, 1)
    alive = np.ones(len(order), bool)
    while True:
        # After k rounds the first k boxes are settled, so it ends, mostly after two or three.
        left = ~rules_out[alive].any(0)
        if np.array_equal(left, alive):
            return np.asarray(order[alive][:max_det], np.int64)
        alive = left
