"""Random changes to stretches of sensor readings."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edgenn.recipe.schema import Augment
from edgenn.types import Floats


def place_window(start: int, last: int, stride: int, rng: Generator) -> int:
    """Move the start of a window by up to half a stride, to 0..``last``."""
    shift = rng.integers(-(stride // 2), stride // 2 + 1)
    return int(np.clip(start + shift, 0, last))


def stretch_time(
    values: Floats, augment: Augment, rng: Generator, rates: NDArray[np.bool_] | None = None
) -> Floats:
    """Cut a little off both ends of a clip and change its speed.

    Args:
        values: (T, C) float32.
        augment: How much of each.
        rng: Source of randomness.
        rates: (C,) which channels are speeds, such as those of a gyroscope: what is
            done faster turns faster.

    Returns:
        (T', C) float32.
    """
    cut = (rng.random(2) * augment.crop * len(values)).astype(int)
    values = values[cut[0] : len(values) - cut[1]]
    low, high = augment.speed
    if low == high == 1.0 and not augment.warp:
        return values
    # Evenly likely in its logarithm, so that slow is as frequent as fast.
    speed = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    places = np.arange(0, len(values) - 1 + 1e-6, speed)
    if augment.warp:
        # A wave of speed: the slope of the sine's integral stays within 1 +- warp.
        span, turns = max(1.0, float(places[-1])), rng.uniform(0.5, 1.5)
        angle = 2 * np.pi * (turns * places / span + rng.random())
        strength = rng.uniform(-augment.warp, augment.warp) * span / (2 * np.pi * turns)
        moved = places + strength * (np.sin(angle) - np.sin(angle[0]))
        places = (moved - moved[0]) * (places[-1] / max(moved[-1] - moved[0], 1e-6))
    left = np.minimum(places.astype(int), max(0, len(values) - 2))
    share = (places - left).astype(np.float32)[:, None]
    right = np.minimum(left + 1, len(values) - 1)
    stretched = values[left] * (1 - share) + values[right] * share
    if rates is not None:
        stretched[:, rates] *= np.gradient(places)[:, None] if len(places) > 1 else 1.0
    return np.asarray(stretched, np.float32)


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
    """Every sensor's x, y, z, or x, y, turned alike: it sits askew.

    Um et al. 2017 (https://arxiv.org/abs/1706.00527).
    """
    angle = np.radians(rng.uniform(-degrees, degrees))
    if values.shape[1] % 3:
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    else:
        axis = rng.standard_normal(3)
        x, y, z = axis / np.linalg.norm(axis)
        # Rodrigues' formula.
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        matrix = np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * (skew @ skew)
    sensors = values.reshape(len(values), -1, len(matrix))
    return np.asarray((sensors @ matrix.T).reshape(values.shape), np.float32)
