"""Drawing results into pictures: lines and text scale with the picture."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np

from edgenn.types import Detections, Floats, Image, Mark, Prediction

_FONT = cv2.FONT_HERSHEY_SIMPLEX
Color = tuple[int, int, int]
_WATCHED: Color = (255, 255, 255)  # no class has it
_FAR = 30_000  # pixels; a line may end far outside
_SURE = 0.3  # score of a key point that is drawn
# Which key points a line joins, by how many there are: a body's as COCO counts them (Lin et al.
# 2014), a hand's as MediaPipe does (Zhang et al. 2020).
_LIMBS = {
    17: ((3, 1, 0, 2, 4), (9, 7, 5, 6, 8, 10), (5, 11, 13, 15), (6, 12, 14, 16), (11, 12)),
    21: (
        *((0, 1, 2, 3, 4), (0, 5, 6, 7, 8), (9, 10, 11, 12), (13, 14, 15, 16)),
        *((0, 17, 18, 19, 20), (5, 9, 13, 17)),
    ),
}


def draw(image: Image, prediction: Prediction, marks: Sequence[Mark] = ()) -> Image:
    """A copy of a picture with the prediction drawn in.

    Args:
        image: (H, W, 3) uint8 BGR; not changed.
        prediction: Boxes with label and score, with key points and numbers of tracks where
            there are any, or the best label in a corner. The 17 key points of a body and the
            21 of a hand are joined.
        marks: Lines and zones to draw under them.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    canvas = np.ascontiguousarray(image).copy()
    for mark in marks:
        _mark(canvas, mark)
    if not isinstance(prediction, Detections):
        text = f"{prediction.label} {prediction.score:.2f}"
        _label(canvas, text, (0, 0), color_of(prediction.class_id))
        return canvas
    width = max(1, round(_scale(canvas) * 2))
    # Best last, so that its label is on top.
    for i in reversed(range(len(prediction))):
        x1, y1, x2, y2 = (round(v) for v in prediction.boxes[i].tolist())
        color = color_of(int(prediction.class_ids[i]))
        cv2.rectangle(canvas, (x1, y1), (x2, y2), color, width, cv2.LINE_AA)
        who = "" if prediction.tracks is None else f"#{prediction.tracks.ids[i]} "
        _label(canvas, f"{who}{prediction.name(i)} {prediction.scores[i]:.2f}", (x1, y1), color)
        if prediction.keypoints is not None:
            _points(canvas, prediction.keypoints[i], color)
    return canvas


def _mark(canvas: Image, mark: Mark) -> None:
    points = np.rint(mark.points.clip(-_FAR, _FAR)).astype(np.int32)
    width = max(1, round(_scale(canvas) * 2))
    cv2.polylines(canvas, [points], mark.closed, _WATCHED, width, cv2.LINE_AA)
    _label(canvas, mark.text, (int(points[0, 0]), int(points[0, 1])), _WATCHED)


def color_of(class_id: int) -> Color:
    """A colour for a class, BGR, far from those of the classes before it."""
    # Steps of the golden angle never repeat and spread over the circle of hues.
    hue = (0.33 + class_id * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(blue * 255), round(green * 255), round(red * 255)


def _points(canvas: Image, points: Floats, color: Color) -> None:
    scale = _scale(canvas)
    spots = [(round(x), round(y)) if score >= _SURE else None for x, y, score in points.tolist()]
    for limb in _LIMBS.get(len(spots), ()):
        for a, b in pairwise(spots[i] for i in limb):
            if a is not None and b is not None:
                cv2.line(canvas, a, b, color, max(1, round(scale)), cv2.LINE_AA)
    for spot in filter(None, spots):
        cv2.circle(canvas, spot, max(1, round(scale * 2)), color, cv2.FILLED, cv2.LINE_AA)


def _scale(image: Image) -> float:
    return max(0.75, float(min(image.shape[:2])) / 480)  # smaller text cannot be read


def _label(canvas: Image, text: str, corner: tuple[int, int], color: Color) -> None:
    """Text on a filled box that sits on top of ``corner``, or below it at the upper edge."""
    scale = _scale(canvas)
    size, thick, gap = 0.5 * scale, max(1, round(scale)), max(1, round(3 * scale))
    (width, height), below = cv2.getTextSize(text, _FONT, size, thick)
    x = max(0, min(corner[0], canvas.shape[1] - width - 2 * gap))
    top = corner[1] - height - below - 2 * gap
    top = top if top >= 0 else max(0, corner[1])
    bottom = top + height + below + 2 * gap
    cv2.rectangle(canvas, (x, top), (x + width + 2 * gap, bottom), color, cv2.FILLED)
    # Rec. 601 luma: dark text on bright colours, bright text on dark ones.
    luma = 0.114 * color[0] + 0.587 * color[1] + 0.299 * color[2]
    ink = (0, 0, 0) if luma > 110 else (255, 255, 255)
    spot = (x + gap, top + gap + height)
    cv2.putText(canvas, text, spot, _FONT, size, ink, thick, cv2.LINE_AA)
