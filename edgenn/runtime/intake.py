"""From what a sensor delivers to readings as a model was trained on them.

In this order: readings that are no finite numbers are dropped; pauses and steps
back in time cut the stream; readings that do not come at the model's rate are
resampled by their timestamps. All of it is counted in `Health`, and said once.

Whether to resample is decided from the first readings of the stream, 64 or two
seconds, which are held back until then. Given the same recording the decision
is the same, however it is cut into `Samples`. A stream at the model's rate
passes unchanged, bit for bit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import WindowInput
from edgenn.ops.resample import (
    GAP,
    MOST_MADE_UP,
    Resampler,
    averages,
    longest_pause,
    measured_rate,
    runs_at,
)
from edgenn.ops.units import mismatch
from edgenn.ops.window import check_channels
from edgenn.runtime.health import Health
from edgenn.types import Samples

_log = logging.getLogger(__name__)
# What the decision is taken from: so many readings, or fewer that span so many seconds.
_HELD, _LEAST, _SECONDS = 64, 16, 2.0
# Seconds of readings of which units are judged, and how often.
_UNIT_SECONDS, _UNIT_CHECKS = 3.0, 200


class Intake:
    """Makes the readings of a stream fit a model.

    Args:
        spec: What the model takes.
        health: Counts what is dropped and where the stream is cut.
    """

    def __init__(self, spec: WindowInput, health: Health) -> None:
        self._spec, self._health = spec, health
        self._channels = len(spec.channels)
        self._held: list[Samples] | None = []
        self._resampler: Resampler | None = None
        self._pause = GAP / spec.rate
        self._last_time = np.nan
        self._units = _Units(spec)

    def push(self, samples: Samples) -> Iterator[tuple[bool, Samples]]:
        """Add what the source delivered.

        Yields:
            Whether the stream was cut before these readings, and the readings.

        Raises:
            ModelError: The readings have another number of channels.
        """
        check_channels(samples, self._channels)
        samples = self._finite(samples)
        if not len(samples.times):
            return
        if self._held is None:
            yield from self._parts(samples)
            return
        self._held.append(samples)
        times = np.concatenate([part.times for part in self._held])
        count = _enough(times)
        if count:
            self._decide(times[:count], samples.source)
            yield from self._release()

    def flush(self) -> Iterator[tuple[bool, Samples]]:
        """What is still held back, at the end of the stream."""
        if self._held:
            times = np.concatenate([part.times for part in self._held])
            self._decide(times, self._held[0].source)
            yield from self._release()

    def cut(self) -> None:
        """The source was opened again: what follows does not continue what came before.

        While the first readings are still held back, their times alone tell of the gap.
        """
        if self._held is None:
            self._last_time = -np.inf

    def _finite(self, samples: Samples) -> Samples:
        good = np.isfinite(samples.values).all(axis=1) & np.isfinite(samples.times)
        bad = int((~good).sum())
        if not bad:
            return samples
        if not self._health.bad:
            _log.warning(
                "%s delivers readings that are NaN or infinite; they are dropped and counted",
                samples.source or "the sensor",
            )
        self._health.bad += bad
        return replace(samples, values=samples.values[good], times=samples.times[good])

    def _decide(self, times: NDArray[np.float64], source: str) -> None:
        rate, measured = self._spec.rate, measured_rate(times)
        if runs_at(times, rate):
            return
        name = source or "the sensor"
        if measured * MOST_MADE_UP < rate:
            _log.warning(
                "%s has %.3g readings a second (are its times in seconds?), the model was "
                "trained on %.3g: too few to be resampled",
                name,
                measured,
                rate,
            )
            return
        self._pause = longest_pause(times, rate)
        self._resampler = Resampler(rate, self._channels, average=averages(times, rate))
        level = _log.info if 0.8 < measured / rate < 1.25 else _log.warning
        said = "%s has %.3g readings a second, the model was trained on %.3g: it is resampled"
        level(said, name, measured, rate)

    def _release(self) -> Iterator[tuple[bool, Samples]]:
        held, self._held = self._held or [], None
        for samples in held:
            yield from self._parts(samples)

    def _parts(self, samples: Samples) -> Iterator[tuple[bool, Samples]]:
        steps = np.diff(samples.times, prepend=self._last_time)
        cut = (steps > self._pause) | (steps < 0)
        for start, end in pairwise([*sorted({0, *np.flatnonzero(cut).tolist()}), len(steps)]):
            if cut[start]:
                self._health.gaps += 1
                if self._resampler is not None:
                    self._resampler.reset()
            part = samples.cut(start, end)
            self._last_time = float(part.times[-1])
            self._units.look(part)
            yield bool(cut[start]), part if self._resampler is None else self._resampler.push(part)


class _Units:
    """Looks at some seconds of readings at a time until it is sure or gives up."""

    def __init__(self, spec: WindowInput) -> None:
        self._spec = spec
        self._size = max(2, round(_UNIT_SECONDS * spec.rate))
        self._left = _UNIT_CHECKS if spec.units else 0
        self._parts: list[Samples] = []

    def look(self, samples: Samples) -> None:
        """Warn once where the units are wrong."""
        if not self._left:
            return
        self._parts.append(samples)
        if sum(len(part.times) for part in self._parts) < self._size:
            return
        values = np.concatenate([part.values for part in self._parts])
        self._parts, self._left = [], self._left - 1
        said = mismatch(values, self._spec.units, self._spec.ranges)
        if said:
            self._left = 0
            _log.warning("%s: %s", samples.source or "the sensor", said)


def _enough(times: NDArray[np.float64]) -> int:
    """How many of the first readings the decision is taken from; 0 while there are too few."""
    number = np.arange(1, len(times) + 1)
    done = (number >= _HELD) | ((number >= _LEAST) & (times - times[0] >= _SECONDS))
    return int(done.argmax()) + 1 if done.any() else 0
