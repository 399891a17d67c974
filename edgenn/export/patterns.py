"""Pictures that are made, not taken."""

from __future__ import annotations

import cv2
import numpy as np

from edgenn.types import Image


def pattern(size: tuple[int, int], rng: np.random.Generator) -> Image:
    """A smooth random picture, (H, W, 3) uint8: no one's photo, yet with edges of all sizes."""
    height, width = size
    layers = [
        cv2.resize(rng.random((n, n, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
        for n in (3, 7, 17, 41)
    ]
    mixed = np.average(layers, axis=0, weights=(4, 3, 2, 1))
    return np.asarray((mixed * 255).clip(0, 255), np.uint8)
