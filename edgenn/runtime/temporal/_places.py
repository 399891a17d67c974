"""What lines and zones share: where tracked objects stand, in pixels."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenn.errors import ModelError
from edgenn.types import Detections, Frame, Prediction, Tracks, Window

Doubles = NDArray[np.float64]
Anchor = Literal["centre", "feet"]


def tracked(item: Frame | Window, prediction: Prediction, stage: str) -> tuple[Frame, Tracks]:
    """The frame and its tracks.

    Raises:
        ModelError: No detections, or no tracker ran before.
    """
    if not isinstance(prediction, Detections) or not isinstance(item, Frame):
        raise ModelError(f"{stage} takes the boxes of a detector, not scores of a classifier")
    if prediction.tracks is None:
        raise ModelError(f"{stage} needs tracks: put the stage track before it (--track)")
    return item, prediction.tracks


def anchors(found: Detections, anchor: Anchor) -> Doubles:
    """(N, 2) the middle of each box, or of its lower edge."""
    boxes = found.boxes.astype(np.float64)
    y = boxes[:, 3] if anchor == "feet" else (boxes[:, 1] + boxes[:, 3]) / 2
    return np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, y], axis=1)


def in_pixels(numbers: tuple[float, ...], frame: Frame) -> Doubles:
    """(N, 2) points of x, y, x, y...; where none is above 1 they are parts of the frame."""
    points = np.asarray(numbers, np.float64).reshape(-1, 2)
    height, width = frame.image.shape[:2]
    return points * (width, height) if points.max() <= 1 else points
