"""Bringing sensor readings to the rate that a model was trained at, by their timestamps.

Sensors deliver 46 or 104 readings a second where 50 were asked for, and their
clocks jitter. Values between two readings are interpolated linearly. Where the
sensor is much faster than wanted, each value is the mean of the interpolated
signal over the output interval that ends at it, so that no vibration folds
down into the movement. Training readers and devices run this same code.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgenn.ops.window import check_channels
from edgenn.types import Floats, Samples

Times = NDArray[np.float64]

# A pause longer than so many intervals is a gap: one lost reading is not.
GAP = 2.5
# Of more values than this for one reading, next to nothing was measured.
MOST_MADE_UP = 20
# A clock so far off, or steps so uneven, make a difference to a net.
_DEVIATION = 0.02
_JITTER = 0.25
# Above this much too fast, readings are averaged and not only picked from.
_AVERAGE_FROM = 1.5
# Timestamps are rounded: an output so much of an interval after the newest reading is due.
_SLACK = 1e-6


class Resampler:
    """Readings at exactly ``rate``, from a stream at any rate.

    The first output lies at the first reading, all others at whole intervals
    after it. Memory is constant, and how the stream is cut into `push` calls
    does not change a bit of the output.

    Args:
        rate: Wanted readings per second, Hz.
        channels: Values per reading.
        average: Average over the output interval; see `averages`.
    """

    def __init__(self, rate: float, channels: int, *, average: bool = False) -> None:
        self._rate, self._channels, self._average = rate, channels, average
        self.reset()

    def reset(self) -> None:
        """Forget all readings, as after a gap in the stream or a step back in time."""
        self._values = np.empty((0, self._channels))
        self._times = np.empty(0)
        self._sums = np.zeros((0, self._channels))  # integral up to each reading
        self._reached = np.zeros(self._channels)  # integral up to the newest output
        self._start = 0.0
        self._next = 0

    def push(self, samples: Samples) -> Samples:
        """Add readings.

        Args:
            samples: Finite values whose times do not decrease, also not from push to push.

        Returns:
            All readings that are due: float32, ``rate`` a second; may be none. ``index``
            stays that of the readings given.

        Raises:
            ModelError: The readings have another number of channels.
        """
        check_channels(samples, self._channels)
        if len(samples.times):
            self._add(samples)
        values, times = self._due() if len(self._times) else (self._values, self._times)
        return replace(samples, values=values.astype(np.float32), times=times)

    def _add(self, samples: Samples) -> None:
        if not len(self._times):
            self._start = float(samples.times[0])
        values = np.concatenate([self._values, samples.values])
        times = np.concatenate([self._times, samples.times])
        areas = np.diff(times)[:, None] * (values[1:] + values[:-1]) / 2
        first = self._sums if len(self._sums) else np.zeros((1, self._channels))
        # Accumulating goes reading by reading, whatever the cut, so that sums are the same.
        self._sums = np.add.accumulate(np.concatenate([first, areas]))
        self._values, self._times = values, times

    def _due(self) -> tuple[NDArray[np.float64], Times]:
        """Outputs up to the newest reading; keeps that reading alone."""
        newest = float(self._times[-1])
        last = int((newest - self._start) * self._rate) + 2
        numbers = np.arange(self._next, max(last, self._next), dtype=np.float64)
        early = self._start + (numbers - _SLACK) / self._rate
        numbers, early = numbers[early <= newest], early[early <= newest]
        times = self._start + numbers / self._rate
        before = np.searchsorted(self._times, early, "left") - 1
        values, sums = self._at(times, before.clip(0))
        if self._average and len(times):
            starts = np.concatenate([self._reached[None], sums[:-1]])
            means = (sums - starts) * self._rate
            if self._next == 0:  # nothing came before the first reading
                means[0] = values[0]
            self._reached, values = sums[-1].copy(), means
        self._next += len(times)
        self._values, self._times = self._values[-1:].copy(), self._times[-1:].copy()
        self._sums = self._sums[-1:].copy()
        return values, times

    def _at(
        self, times: Times, before: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(n, C) values and integrals at times within the segments that begin at ``before``."""
        after = np.minimum(before + 1, len(self._times) - 1)
        span = self._times[after] - self._times[before]
        passed = (times - self._times[before]).clip(0, span)
        share = np.divide(passed, span, out=np.zeros_like(passed), where=span > 0)[:, None]
        first = self._values[before]
        values = first + (self._values[after] - first) * share
        return values, self._sums[before] + passed[:, None] * (first + values) / 2


def resample(values: Floats, times: Times, rate: float) -> tuple[Floats, Times]:
    """A whole recording at ``rate``, to the bit as a `Resampler` streams it.

    Args:
        values: (T, C) finite readings.
        times: (T,) seconds, never decreasing.
        rate: Wanted readings per second, Hz.

    Returns:
        (N, C) float32 and their (N,) times.
    """
    resampler = Resampler(rate, values.shape[1], average=averages(times, rate))
    out = resampler.push(Samples(values.astype(np.float32), times))
    return out.values, out.times


def measured_rate(times: Times) -> float:
    """Readings per second by their timestamps, 0 where these do not tell.

    The mean of the steps that are near the usual one: rounded timestamps do not
    bend it, nor do lost readings, pauses and steps back.
    """
    steps = np.diff(times)
    steps = steps[np.isfinite(steps) & (steps >= 0)]
    if not len(steps) or not steps.any():
        return 0.0
    usual = float(np.median(steps))
    near = steps[(steps > 0.5 * usual) & (steps < 1.5 * usual)]
    # Readings that come in bursts have no usual step.
    return 1.0 / float(near.mean() if len(near) > len(steps) / 2 else steps.mean())


def runs_at(times: Times, rate: float) -> bool:
    """Whether readings come so nearly at ``rate``, and so evenly, that they are used as they are.

    At most 2 % off, and nine of ten steps within a quarter of the interval.
    Timestamps that tell nothing are taken for right.
    """
    measured = measured_rate(times)
    if not measured:
        return True
    if abs(measured / rate - 1) > _DEVIATION:
        return False
    uneven = np.abs(np.diff(times) * measured - 1) > _JITTER
    return bool(uneven.mean() <= 0.1)


def averages(times: Times, rate: float) -> bool:
    """Whether readings come so much faster than ``rate`` that they are averaged."""
    return measured_rate(times) > _AVERAGE_FROM * rate


def longest_pause(times: Times, rate: float) -> float:
    """Seconds without a reading that are still no gap, in a stream that is resampled to ``rate``.

    By the slower of the wanted rate and of the stream, where readings that come
    in bursts are as slow as the bursts; so slow that `MOST_MADE_UP` holds, at most.
    """
    steps = np.diff(times)
    steps = np.sort(steps[np.isfinite(steps) & (steps > 0)])
    slow = float(steps[int(0.95 * (len(steps) - 1))]) if len(steps) else 0.0
    return GAP * min(max(1.0, slow * rate), MOST_MADE_UP) / rate
