"""Random changes to stretches of sensor readings."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from edgenn.recipe.schema import Augment
from edgenn.types import Floats


def place_window(start: int, last: int, stride: int, rng: Generator) -> int:
    """Move the start of a window by up to half a stride, to 0..``last``."""
    shift = rng.integers(-(stride // 2), stride // 2 + 1)
    return int(np.clip(start + shift, 0, last))


def stretch_time(values: Floats, augment: Augment, rng: Generator) -> Floats:
    """Cut a little off both ends of a clip and change its speed.

    Args:
        values: (T, C) float32.
        augment: How much of each.
        rng: Source of randomness.

    Returns:
        (T', C) float32.
    """
    cut = (rng.random(2) * augment.crop * len(values)).astype(int)
    values = values[cut[0] : len(values) - cut[1]]
    low, high = augment.speed
    if low == high == 1.0:
        return values
    # Evenly likely in its logarithm, so that slow is as frequent as fast.
    speed = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    places = np.arange(0, len(values) - 1 + 1e-6, speed)
    left = np.minimum(places.astype(int), max(0, len(values) - 2))
    share = (places - left).astype(np.float32)[:, None]
    right = np.minimum(left + 1, len(values) - 1)
    return np.asarray(values[left] * (1 - share) + values[right] * share, np.float32)


def disturb(values: Floats, augment: Augment, std: Floats, rng: Generator) -> Floats:
    """Turn the axes of a stretch, scale it as a whole, add noise and lose some readings.

    Args:
        values: (T, C) float32.
        augment: How much of each.
        std: (C,) standard deviation of every channel, the unit of the noise.
        rng: Source of randomness.
    """
    if augment.turn:
        values = _turned(values, augment.turn, rng)
    factor = 1 + rng.uniform(-augment.magnitude, augment.magnitude)
    noise = rng.standard_normal(values.shape, np.float32)
    values = np.asarray(values * factor + noise * (augment.jitter * std), np.float32)
    if augment.lose:
        # A sensor that loses a reading repeats the last one.
        lost = rng.random(len(values)) < augment.lose
        lost[0] = False
        values = values[np.maximum.accumulate(np.where(lost, 0, np.arange(len(values))))]
    return values


def _turned(values: Floats, degrees: float, rng: Generator) -> Floats:
    """Every three channels, x, y, z of one sensor, turned alike: it sits askew.

    Um et al. 2017 (https://arxiv.org/abs/1706.00527).
    """
    axis = rng.standard_normal(3)
    axis *= np.radians(rng.uniform(0, degrees)) / np.linalg.norm(axis)
    x, y, z = axis
    # The matrix exponential of the rotation's generator, by Rodrigues.
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = max(float(np.linalg.norm(axis)), 1e-9)
    matrix = (
        np.eye(3) + np.sin(angle) / angle * skew + (1 - np.cos(angle)) / angle**2 * (skew @ skew)
    ).astype(np.float32)
    turned = values.reshape(len(values), -1, 3) @ matrix.T
    return np.asarray(turned.reshape(values.shape), np.float32)
