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
    return paired_iou(a[:, None], b[None, :])


def paired_iou(a: Floats, b: Floats) -> Floats:
    """Intersection over union of boxes (..., 4) that broadcast."""
    # Plane by plane: three times as fast as with the coordinates on the last axis.
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)
    inter = (np.minimum(ax2, bx2) - np.maximum(ax1, bx1)).clip(min=0)
    inter = inter * (np.minimum(ay2, by2) - np.maximum(ay1, by1)).clip(min=0)
    areas = [
        (x2 - x1).clip(min=0) * (y2 - y1).clip(min=0)
        for x1, y1, x2, y2 in ((ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2))
    ]
    union = areas[0] + areas[1] - inter
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
    better, worse = _close(ranked, classes, iou_threshold)
    alive = np.ones(len(order), bool)
    while True:
        # After k rounds the first k boxes are settled, so it ends, mostly after two or three.
        left = np.ones(len(order), bool)
        left[worse[alive[better]]] = False
        if np.array_equal(left, alive):
            return np.asarray(order[alive][:max_det], np.int64)
        alive = left


def _close(
    boxes: Floats, classes: NDArray[np.int64], threshold: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of the same class that overlap more than ``threshold``, the first one before."""
    count = len(boxes)
    pairs = np.flatnonzero(np.triu(classes[:, None] == classes[None, :], 1))
    if 8 * len(pairs) < count * count:
        first, second = np.divmod(pairs, count)
        pairs = pairs[paired_iou(boxes[first], boxes[second]) > threshold]
    else:
        # Few classes: to compare all boxes is faster than to pick so many pairs.
        planes = np.ascontiguousarray(boxes.T).T
        pairs = pairs[iou(planes, planes).ravel()[pairs] > threshold]
    first, second = np.divmod(pairs, max(1, count))
    return first, second
