"""What a run looks like from outside: counters and latencies, in bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import exp, log
from time import perf_counter

import numpy as np

_LOWEST_MS = 1e-3
_STEP = log(1.02)
_BUCKETS = int(log(1e9) / _STEP) + 1  # up to 1000 s


class Histogram:
    """Percentiles of an endless row of durations, within 1 %, in 8 kB."""

    def __init__(self) -> None:
        self._counts = np.zeros(_BUCKETS, np.int64)

    def add(self, ms: float) -> None:
        """Count one duration in milliseconds."""
        bucket = int(log(max(ms, _LOWEST_MS) / _LOWEST_MS) / _STEP)
        self._counts[min(bucket, _BUCKETS - 1)] += 1

    def percentile(self, q: float) -> float:
        """Milliseconds that ``q`` per cent of the durations do not exceed; 0 without any."""
        total = int(self._counts.sum())
        if not total:
            return 0.0
        rank = max(1.0, q / 100 * total)
        bucket = int(np.searchsorted(self._counts.cumsum(), rank))
        return _LOWEST_MS * exp((bucket + 0.5) * _STEP)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def since(self, earlier: Histogram | None = None) -> Histogram:
        """What came after ``earlier``, a copy of this one; all of it, as a copy, by default."""
        later = Histogram()
        later._counts = self._counts - (0 if earlier is None else earlier._counts)
        return later


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in numbers.

    Attributes:
        frames: Frames or windows that gave a result.
        dropped: Items that the source had but could not deliver.
        seconds: From the start to the newest result.
        fps: Results per second of that time.
        latency_ms: Stage to its 50th, 95th and 99th percentile in milliseconds.
        bad: Sensor readings that were dropped: NaN or infinite.
        gaps: Pauses, steps back in time and failures of the source at which a stream was cut.
        reconnects: How often a live source delivered again after a failure.
        carried: Results without inference, as nothing moved.
        sinks: Of each sink that has a thread, by name: the percentiles of the milliseconds
            from capture until it had written (MQTT: to its buffer), then results that it
            dropped and that failed.
    """

    frames: int
    dropped: int
    seconds: float
    fps: float
    latency_ms: Mapping[str, tuple[float, float, float]]
    bad: int = 0
    gaps: int = 0
    reconnects: int = 0
    carried: int = 0
    sinks: Mapping[str, tuple[tuple[float, float, float], int, int]] = field(default_factory=dict)


class SinkCounts:
    """What one sink did.

    Attributes:
        latency: From capture until a result was written.
        dropped: Results that had to make room for newer ones.
        failed: Results that it could not write.
    """

    def __init__(self) -> None:
        self.latency = Histogram()
        self.dropped = self.failed = 0


class Health:
    """Counts what the pipeline does.

    Attributes:
        level: Steps that less is done than was asked for; see `edgenn.runtime.degrade`.
        reason: Why; empty at level 0.
    """

    def __init__(self) -> None:
        self.level, self.reason = 0, ""
        self.frames = 0
        self.dropped = 0
        self.bad = 0
        self.gaps = 0
        self.reconnects = 0
        self.carried = 0
        self.sinks: dict[str, SinkCounts] = {}
        self._histograms: dict[str, Histogram] = {}
        self._start = self._last = perf_counter()

    def start(self) -> None:
        """The clock starts: nothing before counts as running time."""
        self._start = self._last = perf_counter()

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Count one result."""
        self.frames += 1
        for stage, ms in latency_ms.items():
            self._histograms.setdefault(stage, Histogram()).add(ms)
        self._last = perf_counter()

    def latency(self, stage: str) -> Histogram:
        """A copy of what was counted of a stage so far."""
        return self._histograms.get(stage, Histogram()).since()

    def sink(self, name: str, counts: SinkCounts | None = None) -> SinkCounts:
        """Counters for one more sink, or its own; a second one of a name gets a number."""
        stem, number = name, 1
        while name in self.sinks:
            number += 1
            name = f"{stem}-{number}"
        return self.sinks.setdefault(name, counts or SinkCounts())

    def summary(self) -> Summary:
        """The numbers so far."""
        seconds = self._last - self._start
        return Summary(
            self.frames,
            self.dropped,
            seconds,
            self.frames / seconds if seconds else 0.0,
            {stage: _three(histogram) for stage, histogram in self._histograms.items()},
            self.bad,
            self.gaps,
            self.reconnects,
            self.carried,
            {name: (_three(s.latency), s.dropped, s.failed) for name, s in self.sinks.items()},
        )


def _three(histogram: Histogram) -> tuple[float, float, float]:
    return histogram.percentile(50), histogram.percentile(95), histogram.percentile(99)
