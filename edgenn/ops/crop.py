"""Rotated regions of a frame: from a detection, or the key points of the frame before, to
an upright crop for a second net, and from that net's points back to the frame.

It follows MediaPipe (``RectTransformationCalculator`` and those before it), so that its nets
for key points see what they were trained on. Coordinates are continuous, as everywhere: a
picture's first pixel reaches from 0 to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.errors import ModelError
from edgenn.ops.preprocess import MAX_SIDE, check_image
from edgenn.types import Floats, Image

Numbers = NDArray[np.float64]

# OpenCV addresses the pixels that it warps from with 16 bits.
_MAX_FRAME = 32766
# Of a region, in pixels; beyond it is a damaged detection.
_MAX_REGION = 1e6


@dataclass(frozen=True)
class Region:
    """A rectangle of the frame that may be turned.

    Attributes:
        center: x, y in pixels of the frame.
        size: Width, height in pixels of the frame, along the region's own axes.
        angle: Radians by which the region is turned clockwise, as one sees it; 0 is upright.
    """

    center: tuple[float, float]
    size: tuple[float, float]
    angle: float = 0.0

    def corners(self) -> Floats:
        """(4, 2) x y in the frame: top left, top right, bottom right, bottom left."""
        unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        return apply(self.affine((1, 1)), unit)

    def affine(self, out_size: tuple[int, int]) -> Floats:
        """(2, 3) float32 from the crop's pixels to those of the frame.

        Args:
            out_size: Height, width of the crop in pixels.
        """
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        across, down = self.size[0] / out_size[1], self.size[1] / out_size[0]
        turn = np.array([[cos * across, -sin * down], [sin * across, cos * down]])
        start = np.array(self.center) - turn @ (out_size[1] / 2, out_size[0] / 2)
        return np.column_stack([turn, start]).astype(np.float32)


@dataclass(frozen=True)
class RegionRule:
    """How a region comes from key points.

    Attributes:
        start: Key points to their weights; the weighted mean is where the axis starts.
        end: The same of where it ends. Without both the region is upright.
        target: Degrees, counter-clockwise from "right", to which the axis points on the
            crop: 90 is up.
        scale: Width, height of the region per width, height of what it lies around.
        shift: By how much it is moved along its own axes, right and down, in its widths and
            heights before scaling.
        square: The longer side for both.
        around: What the region lies around: the "box" of the detection, the box of the
            "points" of ``within`` along the region's own axes, or the "circle" around the
            axis' start through its end.
        within: Key points for "points"; none means all.
    """

    start: tuple[tuple[int, float], ...] = ()
    end: tuple[tuple[int, float], ...] = ()
    target: float = 90.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: tuple[float, float] = (0.0, 0.0)
    square: bool = True
    around: Literal["box", "points", "circle"] = "box"
    within: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        ends = (self.start, self.end)
        if any(end and sum(weight for _, weight in end) <= 0 for end in ends):
            raise ModelError("the weights of a region's key points must add up to more than 0")
        if bool(self.start) != bool(self.end) or (self.around == "circle" and not self.start):
            raise ModelError("a region's axis needs key points for its start and its end")


# MediaPipe's rules; palms have seven key points, from the wrist to the middle finger's root.
PALM = RegionRule(((0, 1),), ((2, 1),), scale=(2.6, 2.6), shift=(0.0, -0.5))
# 21 points of a hand, for the next frame; not the fingertips, which move too fast.
HAND = RegionRule(
    ((0, 1),),
    ((5, 0.25), (9, 0.5), (13, 0.25)),
    scale=(2.0, 2.0),
    shift=(0.0, -0.1),
    around="points",
    within=(0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18),
)
# Six points of a face, the two eyes first, that lie level; and the eyes' corners of 468.
FACE = RegionRule(((0, 1),), ((1, 1),), target=0.0, scale=(1.5, 1.5))
FACE_MESH = RegionRule(((33, 1),), ((263, 1),), target=0.0, scale=(1.5, 1.5), around="points")
# Four points of a person: the middle of the hips, and one on the circle around all of it.
POSE = RegionRule(((0, 1),), ((1, 1),), scale=(1.25, 1.25), around="circle")


def region(rule: RegionRule, keypoints: Floats, box: Floats | None = None) -> Region | None:
    """The region of one detection.

    Args:
        rule: How it is made.
        keypoints: (K, 2 or more), x y in pixels of the frame first.
        box: (4,) x1 y1 x2 y2 in pixels of the frame, for rules around the "box". A box that
            was cut to the frame, as detections are, moves the region by half of what was
            cut off.

    Returns:
        The region; None where its numbers are not finite, too large, or without area.

    Raises:
        ModelError: The rule needs key points or a box that are not there.
    """
    points = np.asarray(keypoints, np.float64)
    most = max([i for i, _ in (*rule.start, *rule.end)] + [*rule.within, -1])
    if points.ndim != 2 or points.shape[1] < 2 or len(points) <= most:
        raise ModelError(
            f"the region needs {most + 1} key points with x and y, but there are {points.shape}"
        )
    points = points[:, :2]
    numbers = points if box is None else np.concatenate([points.ravel(), np.ravel(box)])
    # NaN compares false.
    if not (np.abs(numbers) <= _MAX_REGION).all():
        return None
    angle = 0.0
    if rule.start:
        dx, dy = _mean(points, rule.end) - _mean(points, rule.start)
        # Of two points in one place atan2 makes "right", so there is no error.
        angle = wrapped(math.radians(rule.target) - math.atan2(-dy, dx))
    center, sides = _extent(rule, points, box, angle)
    cos, sin = math.cos(angle), math.sin(angle)
    right, down = sides * rule.shift
    center = center + np.array([right * cos - down * sin, right * sin + down * cos])
    if rule.square:
        sides = np.full(2, sides.max())
    sides = sides * rule.scale
    if sides.min() <= 0 or max(*np.abs(center), *sides) > _MAX_REGION:
        return None
    (x, y), (width, height) = center.tolist(), sides.tolist()
    return Region((x, y), (width, height), angle)


def _mean(points: Numbers, which: tuple[tuple[int, float], ...]) -> Numbers:
    weights = np.array([weight for _, weight in which])
    mean: Numbers = weights @ points[[i for i, _ in which]] / weights.sum()
    return mean


def _extent(
    rule: RegionRule, points: Numbers, box: Floats | None, angle: float
) -> tuple[Numbers, Numbers]:
    """Centre and width, height of what the region lies around, in frame pixels."""
    if rule.around == "box":
        if box is None:
            raise ModelError("the region lies around a box, but there is none")
        edges = np.asarray(box, np.float64).reshape(2, 2)
        return edges.mean(0), edges[1] - edges[0]
    if rule.around == "circle":
        center = _mean(points, rule.start)
        reach = float(np.hypot(*(_mean(points, rule.end) - center)))
        return center, np.full(2, 2 * reach)
    used = points[list(rule.within)] if rule.within else points
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    own = used @ turn  # along the region's axes
    low, high = own.min(0), own.max(0)
    return turn @ ((low + high) / 2), high - low


def wrapped(angle: float) -> float:
    """The same angle in -pi..pi."""
    return (angle + math.pi) % (2 * math.pi) - math.pi


def rotated_crop(
    image: Image,
    center: tuple[float, float],
    size: tuple[float, float],
    angle: float,
    out_size: tuple[int, int],
    *,
    border: Literal["replicate", "black"] = "replicate",
) -> tuple[Image, Floats]:
    """Cut a turned rectangle out of a frame, upright and of a given size.

    Args:
        image: (H, W, 3) uint8 BGR.
        center: x, y in pixels of the frame.
        size: Width, height in pixels of the frame.
        angle: Radians, clockwise; see `Region`.
        out_size: Height, width of the crop in pixels.
        border: What lies beyond the frame: its nearest pixel, or black.

    Returns:
        The crop, (out_size[0], out_size[1], 3) uint8, and (2, 3) float32 that leads from
        the crop's pixels to those of the frame; see `apply`.

    Raises:
        ModelError: The picture is not (H, W, 3) uint8, or the numbers make no rectangle.
    """
    check_image(image)
    if not all(0 < side <= MAX_SIDE for side in out_size):
        raise ModelError(f"a crop's sides must lie in 1..{MAX_SIDE} pixels, not {out_size}")
    if max(image.shape[:2]) > _MAX_FRAME:
        raise ModelError(f"a frame of {image.shape[1]}x{image.shape[0]} is too large to crop")
    numbers = np.array([*center, *size, angle])
    if not np.isfinite(numbers).all() or min(size) <= 0 or np.abs(numbers).max() > _MAX_REGION:
        raise ModelError(f"no crop at {center} of {size} pixels, turned by {angle}")
    way = Region(center, size, angle).affine(out_size)
    # OpenCV counts from the middle of a pixel.
    inner = way.astype(np.float64)
    inner[:, 2] += inner[:, :2] @ (0.5, 0.5) - 0.5
    crop = cv2.warpAffine(
        image,
        inner,
        (out_size[1], out_size[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE if border == "replicate" else cv2.BORDER_CONSTANT,
    )
    return np.asarray(crop, np.uint8), way


def apply(way: Floats, points: Floats) -> Floats:
    """Move points by an affine map.

    Args:
        way: (2, 3), as `rotated_crop` returns it.
        points: (..., 2 or more), x y first; the rest stays.

    Returns:
        The same shape, float32.
    """
    out: Floats = np.asarray(points).astype(np.float32)  # astype copies
    out[..., :2] = np.asarray(points)[..., :2] @ way[:, :2].T + way[:, 2]
    return out
