"""Continuous streams made of clips: clips one after the other with pauses between them.

Clips alone cannot tell how a model does on a stream, where doing nothing is the
usual case. A pause is made without knowing what a channel means, in multiples
of its own standard deviation over the clips:

- it goes from the level at the end of one clip to that at the start of the
  next by a slow smooth turn, as gravity does on a wrist that changes its
  posture;
- a clip that was cut in full motion settles within a fraction of a second to
  where clips usually begin and end, as a gyroscope does to its bias: a pause
  that held 100 degrees per second would be no pause;
- sensor noise, and the slow wandering of a hand that is not quite still;
- in some pauses a burst of smooth random motion, which is no gesture: a negative.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Recording
from edgenn.types import Floats

# Share of a channel's standard deviation that a resting hand wanders.
_WANDER = 0.05
# Seconds: what counts as the edge of a clip; how fast motion dies down; points of random motion.
_EDGE, _SETTLE = 0.1, 0.12
_SLOW, _FAST = 0.8, 0.18
# Strength of a burst in standard deviations, low and high, and its length in seconds.
_BURST, _BURST_LENGTH = (0.3, 1.0), (0.4, 1.5)


def join(
    parts: Sequence[Floats],
    class_ids: Sequence[int],
    background: int,
    rate: float,
    rng: np.random.Generator,
    *,
    pause: tuple[float, float] = (0.5, 3.0),
    noise: float = 0.02,
    motion: float = 0.5,
) -> tuple[Floats, NDArray[np.int64]]:
    """Lay clips one after the other, with a pause before, between and after them.

    Args:
        parts: At least one clip of (T, C) float32 with T > 0, all of the same channels.
        class_ids: Class of each clip.
        background: Class of the pauses.
        rate: Readings per second.
        rng: The only source of chance.
        pause: Shortest and longest pause in seconds.
        noise: Sensor noise in pauses, as a share of each channel's standard deviation.
        motion: Share of the pauses with a burst of motion.

    Returns:
        (T, C) float32 readings and (T,) int64 class of each.
    """
    seconds = rng.uniform(*pause, len(parts) + 1)
    lengths = np.maximum(1, np.round(seconds * rate)).astype(np.int64)
    rest = _pauses(parts, lengths, rate, rng, noise=noise, motion=motion)
    pieces, cuts = [], np.cumsum(lengths)[:-1]
    ids = np.full(int(lengths.sum()) + sum(map(len, parts)), background, np.int64)
    at = 0
    for still, part, class_id in zip(np.split(rest, cuts)[:-1], parts, class_ids, strict=True):
        pieces += [still, part]
        at += len(still) + len(part)
        ids[at - len(part) : at] = class_id
    pieces.append(rest[cuts[-1] :])
    return np.concatenate(pieces), ids


def join_groups(
    recordings: Sequence[Recording],
    background: int,
    seed: int = 0,
    pause: tuple[float, float] = (0.5, 3.0),
) -> list[Recording]:
    """One stream per group, of its recordings in random order; see `join`.

    Args:
        recordings: All of the same rate and channels.
        background: Class of the pauses.
        seed: Of order and pauses; the streams depend on nothing else.
        pause: Shortest and longest pause in seconds.

    Returns:
        A recording for each group, ordered by name, with the classes that the
        readings had.
    """
    groups: dict[str, list[Recording]] = {}
    for recording in recordings:
        groups.setdefault(recording.group, []).append(recording)
    streams = []
    for number, name in enumerate(sorted(groups)):
        rng = np.random.default_rng([seed, number])
        clips = sorted(groups[name], key=lambda clip: clip.name)
        clips = [clips[i] for i in rng.permutation(len(clips))]
        parts = [clip.values for clip in clips]
        # Any other number than that of the pauses marks where the clips lie.
        marks = [background + 1] * len(clips)
        values, ids = join(parts, marks, background, clips[0].rate, rng, pause=pause)
        ids[ids != background] = np.concatenate([clip.class_ids for clip in clips])
        streams.append(replace(clips[0], name=f"{name} joined", values=values, class_ids=ids))
    return streams


def _pauses(
    parts: Sequence[Floats],
    lengths: NDArray[np.int64],
    rate: float,
    rng: np.random.Generator,
    *,
    noise: float,
    motion: float,
) -> Floats:
    """Readings of all pauses, one after the other: all at once, for speed."""
    edge = max(1, round(_EDGE * rate))
    heads = np.stack([part[:edge].mean(axis=0) for part in parts])
    tails = np.stack([part[-edge:].mean(axis=0) for part in parts])
    std = _std(parts)
    # The stream begins and ends at rest where its first and last clips do.
    before, after = np.concatenate([heads[:1], tails]), np.concatenate([heads, tails[-1:]])
    left, right = _settled(before, std), _settled(after, std)
    off_left = np.concatenate([left[:1], [part[-1] for part in parts]]) - left
    off_right = np.concatenate([[part[0] for part in parts], right[-1:]]) - right

    count = int(lengths.sum())
    which = np.repeat(np.arange(len(lengths)), lengths)
    since = np.arange(count) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    until = lengths[which] - 1 - since
    turn = _ease((since + 1) / (lengths[which] + 1))[:, None]
    settle = _SETTLE * rate
    values = left[which] + (right - left)[which] * turn
    values += off_left[which] * np.exp(-(since + 1) / settle)[:, None]
    values += off_right[which] * np.exp(-(until + 1) / settle)[:, None]

    # What hands do of their own fades towards the clips, so that there is no jump.
    fade = np.minimum(1.0, (np.minimum(since, until) + 1) / edge)[:, None]
    strength = _WANDER * _smooth(count, len(std), _SLOW * rate, rng) * fade
    burst = _bursts(lengths, which, since, rate, rng, motion=motion)
    if burst.any():
        each = rng.uniform(0.3, 1.0, (len(lengths), len(std)))
        strength += burst[:, None] * each[which] * _smooth(count, len(std), _FAST * rate, rng)
    strength += noise * rng.standard_normal((count, len(std)), np.float32)
    return np.asarray(values + strength * std, np.float32)


def _bursts(
    lengths: NDArray[np.int64],
    which: NDArray[np.int64],
    since: NDArray[np.int64],
    rate: float,
    rng: np.random.Generator,
    *,
    motion: float,
) -> NDArray[np.float64]:
    """Strength of motion at every reading: a hump of random place, length and height or nothing."""
    height = rng.uniform(*_BURST, len(lengths)) * (rng.random(len(lengths)) < motion)
    length = np.minimum(rng.uniform(*_BURST_LENGTH, len(lengths)) * rate, lengths)
    start = rng.random(len(lengths)) * (lengths - length)
    phase = np.clip((since - start[which]) / length[which], 0.0, 1.0)
    return np.asarray(height[which] * np.sin(np.pi * phase) ** 2)


def _std(parts: Sequence[Floats]) -> NDArray[np.float64]:
    """(C,) standard deviation of all readings; 0 for a channel that never changes."""
    count = sum(map(len, parts))
    total = np.stack([part.sum(axis=0, dtype=np.float64) for part in parts]).sum(axis=0)
    mean = total / count
    squares = [np.square(part - mean).sum(axis=0) for part in parts]
    return np.asarray(np.sqrt(np.stack(squares).sum(axis=0) / count))


def _settled(levels: NDArray[np.float64], std: NDArray[np.float64]) -> NDArray[np.float64]:
    """Levels (n, C) of edges, those far from the others brought back to where the others lie."""
    half = len(levels) // 2  # of a median, for which np.median takes far longer
    middle = np.sort(levels, axis=0)[half]
    spread = np.sort(np.abs(levels - middle), axis=0)[half]
    reach = np.maximum(3 * spread, 0.25 * std)
    return np.clip(levels, middle - reach, middle + reach)


def _smooth(
    count: int, channels: int, spacing: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """(count, channels) smooth noise of unit strength: random points, eased into each other."""
    at = np.arange(count) / max(1.0, spacing)
    left = at.astype(np.int64)
    points = rng.standard_normal((int(at[-1]) + 2, channels))
    weight = _ease(at - left)[:, None]
    return np.asarray(points[left] * (1 - weight) + points[left + 1] * weight)


def _ease(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """From 0 to 1 with no slope at either end."""
    return x * x * (3 - 2 * x)
