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


def above(block: Floats, conf: float) -> tuple[Ids, Ids]:
    """Row and column of every entry of a matrix that is at least ``conf``.

    Flat, as `numpy.nonzero` of a matrix takes ten times as long.
    """
    rows, columns = np.divmod(np.flatnonzero(block >= conf), block.shape[1])
    return rows, columns


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
    keep = nms(boxes, scores, class_ids, p.iou, p.max_det)
    boxes = boxes[keep]
    points = None if keypoints is None else keypoints[keep]
    if geometry is not None:
        boxes = geometry.to_frame(boxes)
        points = None if points is None else geometry.points_to_frame(points)
    return Detections(boxes, scores[keep], class_ids[keep].astype(np.int64), labels, points)
