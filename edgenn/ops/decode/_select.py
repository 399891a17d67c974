"""From cells that scored to detections: what all layouts of detectors end with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgenn.ops.boxes import nms
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

Ids = NDArray[np.int64]


class Suppression(Protocol):
    """Parameters of non-maximum suppression."""

    @property
    def iou(self) -> float:
        """Overlap above which the weaker box goes, 0..1."""
        ...

    @property
    def max_det(self) -> int:
        """At most so many boxes per frame."""
        ...


def above(values: Floats, least: float | Floats) -> tuple[Ids, Ids, Floats]:
    """Rows, columns and values of the finite entries that are large enough.

    Args:
        values: (N, C).
        least: One for all, or what broadcasts with them, such as (C,) for each column.

    Returns:
        Three arrays (M,), in the order of memory.
    """
    if values.strides[0] < values.strides[1]:
        columns, rows, best = above(values.T, np.asarray(least)[..., None])
        return rows, columns, best
    # np.nonzero of two axes takes many times as long.
    hits = np.flatnonzero(values >= least)
    rows, columns = np.divmod(hits, max(1, values.shape[1]))
    best = values[rows, columns]
    finite = best < np.inf
    if not finite.all():
        rows, columns, best = rows[finite], columns[finite], best[finite]
    return rows, columns, best


def strongest(cells: Ids, class_ids: Ids, values: Floats, limit: int) -> tuple[Ids, Ids, Floats]:
    """The ``limit`` entries of highest value; all, in their order, where there are fewer."""
    if len(values) <= limit:
        return cells, class_ids, values
    # Stable, so that equal scores are cut the same way on every machine.
    top = np.argsort(-values, kind="stable")[:limit]
    return cells[top], class_ids[top], values[top]


def finish(
    found: tuple[Floats, Floats, Ids],
    p: Suppression,
    labels: tuple[str, ...],
    geometry: Geometry | None,
    keypoints: Floats | None = None,
) -> Detections:
    """Suppress the weaker of overlapping boxes and move the rest to the frame.

    Args:
        found: Boxes (N, 4) in net pixels, scores (N,), class ids (N,).
        p: Thresholds.
        labels: Class names.
        geometry: Way from the net to the frame; None leaves net pixels.
        keypoints: (N, K, 3) x y in net pixels and score, where the layout has them.
    """
    boxes, scores, class_ids = found
    if p.iou >= 1:
        # No overlap is above 1.
        keep = np.argsort(-scores, kind="stable")[: p.max_det]
    else:
        keep = nms(boxes, scores, class_ids, p.iou, p.max_det)
    boxes = boxes[keep]
    points = None if keypoints is None else keypoints[keep]
    if geometry is not None:
        boxes = geometry.to_frame(boxes)
        points = None if points is None else geometry.points_to_frame(points)
    return Detections(boxes, scores[keep], class_ids[keep].astype(np.int64), labels, points)
