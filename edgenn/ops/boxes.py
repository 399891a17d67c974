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
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    sides = (bottom_right - top_left).clip(min=0)
    inter = sides[..., 0] * sides[..., 1]
    union = area(a)[:, None] + area(b)[None, :] - inter
    return np.asarray(inter / np.maximum(union, 1e-9), np.float32)


def nms(
    boxes: Floats, scores: Floats, class_ids: NDArray[np.int64], iou_threshold: float, max_det: int
) -> NDArray[np.int64]:
    """Class-aware greedy non-maximum suppression.

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
    alive = np.ones(len(order), bool)
    kept: list[int] = []
    for i in range(len(order)):
        if not alive[i]:
            continue
        kept.append(i)
        if len(kept) == max_det:
            break
        alive &= ~overlaps[i]
    return np.asarray(order[kept], np.int64)
