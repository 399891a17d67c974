"""Random changes to training samples: pictures before they are sized, windows before
they are normalised.

All randomness comes from the generator that the caller hands in.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.ops.boxes import area
from edgenn.ops.preprocess import Resize, place
from edgenn.recipe.schema import Augment
from edgenn.types import Floats, Image

# A box of which less than this share remains in the picture is dropped.
VISIBLE = 0.15
Boxed = tuple[Image, Floats, NDArray[np.int64]]
Generator = np.random.Generator


def warp(
    sample: Boxed, augment: Augment, rng: Generator, *, zoom: bool, pad: int, times: float = 1.0
) -> Boxed:
    """Flip, zoom, shift and turn a picture and its boxes in one resampling.

    Args:
        sample: (H, W, 3) uint8, (N, 4) boxes in its pixels, (N,) class ids.
        augment: How much of each.
        rng: Source of randomness.
        zoom: Whether to zoom; off in the last epochs.
        pad: Grey level of what comes into view from outside.
        times: Zoom by so much more.

    Returns:
        A picture of the same size, and the boxes that are still visible in it.
    """
    image, boxes, class_ids = sample
    height, width = image.shape[:2]
    low, high = np.log(augment.scale) if zoom else (0.0, 0.0)
    scale = times * float(np.exp(rng.uniform(low, high)))
    turn = np.radians(rng.uniform(-augment.rotate, augment.rotate))
    shift = rng.uniform(-augment.translate, augment.translate, 2) * (width, height)
    mirror = -1.0 if rng.random() < augment.flip else 1.0
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    # Pixel centres lie at whole numbers for warpAffine, box edges between them.
    centre = np.array([width, height]) / 2
    linear = np.array([[cos * mirror, -sin], [sin * mirror, cos]])
    offset = centre + shift - linear @ centre
    moved = np.column_stack([linear, offset + linear @ (0.5, 0.5) - 0.5])
    turned = cv2.warpAffine(
        image,
        moved,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(pad, pad, pad),
    )
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2) @ linear.T + offset
    around = np.concatenate([corners.min(1), corners.max(1)], 1).astype(np.float32)
    return np.asarray(turned, np.uint8), *_cut(around, class_ids, (height, width))


def mosaic(samples: list[Boxed], size: tuple[int, int], rng: Generator) -> Boxed:
    """Join four pictures around a random point; each fills its quarter.

    Args:
        samples: Four pictures with their boxes and class ids.
        size: Height, width of the result.
        rng: Source of randomness.

    Returns:
        One picture, and the boxes that are visible in it.
    """
    height, width = size
    y, x = (int(side * rng.uniform(0.3, 0.7)) for side in size)
    canvas = np.empty((height, width, 3), np.uint8)
    quarters = ((0, 0, y, x), (0, x, y, width), (y, 0, height, x), (y, x, height, width))
    boxes, class_ids = [], []
    for (top, left, bottom, right), sample in zip(quarters, samples, strict=True):
        part, inside, ids = _fill(sample, (bottom - top, right - left), rng)
        canvas[top:bottom, left:right] = part
        boxes.append(inside + np.array([left, top, left, top], np.float32))
        class_ids.append(ids)
    return canvas, np.concatenate(boxes), np.concatenate(class_ids)


def mixup(below: Boxed, above: Boxed, rng: Generator) -> Boxed:
    """Lay one picture over another, about half transparent; the boxes of both count.

    Zhang et al. 2018 (https://arxiv.org/abs/1710.09412), for detectors as by Zhang et
    al. 2019 (https://arxiv.org/abs/1902.04103).

    Args:
        below: (H, W, 3) uint8, (N, 4) boxes in its pixels, (N,) class ids.
        above: Another; a random part of it fills the first.
        rng: Source of randomness.

    Returns:
        A picture of the size of the first.
    """
    image, boxes, class_ids = below
    part, inside, ids = _fill(above, (image.shape[0], image.shape[1]), rng)
    share = float(rng.beta(8, 8))
    mixed = cv2.addWeighted(image, 1 - share, part, share, 0)
    return np.asarray(mixed, np.uint8), np.r_[boxes, inside], np.r_[class_ids, ids]


def hsv(image: Image, strength: tuple[float, float, float], rng: Generator) -> Image:
    """Shift the hue and scale saturation and brightness of a picture.

    Args:
        image: (H, W, 3) uint8 BGR.
        strength: Largest change of each: share of the colour circle, then factors about 1.
        rng: Source of randomness.
    """
    hue, saturation, value = rng.uniform(-1, 1, 3) * strength
    if not any(strength):
        return image
    levels = np.arange(256)
    table = np.empty((1, 256, 3), np.uint8)
    table[0, :, 0] = (levels + hue * 180) % 180
    table[0, :, 1] = (levels * (1 + saturation)).clip(0, 255)
    table[0, :, 2] = (levels * (1 + value)).clip(0, 255)
    changed = cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2HSV), table)
    return np.asarray(cv2.cvtColor(changed, cv2.COLOR_HSV2BGR), np.uint8)


def _fill(sample: Boxed, size: tuple[int, int], rng: Generator) -> Boxed:
    """A random crop of a picture, as large as the aspect of ``size`` allows, at that size."""
    image, boxes, class_ids = sample
    frame = np.array(image.shape[:2])
    crop = np.maximum(1, (np.array(size) * (frame / size).min()).astype(int))
    top, left = (rng.random(2) * (frame - crop + 1)).astype(int)
    part = place(image[top : top + crop[0], left : left + crop[1]], Resize(size))
    factor = (size / crop)[[1, 0, 1, 0]]
    moved = ((boxes - (left, top, left, top)) * factor).astype(np.float32)
    return part, *_cut(moved, class_ids, size)


def _cut(
    boxes: Floats, class_ids: NDArray[np.int64], size: tuple[int, int]
) -> tuple[Floats, NDArray[np.int64]]:
    """Cut boxes to the picture and drop those of which too little remains."""
    if not len(boxes):
        return boxes, class_ids  # a classifier's class belongs to the picture as a whole
    limits = np.array([size[1], size[0]] * 2, np.float32)
    cut = boxes.clip(0, limits)
    kept = area(cut) > VISIBLE * area(boxes)
    return cut[kept], class_ids[kept]
