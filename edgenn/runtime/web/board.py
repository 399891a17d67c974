"""What the page and ``/metrics`` say of a run: counters, and two minutes of history."""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter, deque
from pathlib import Path
from time import monotonic, time
from typing import Any

from edgenn.runtime.health import Health, Histogram
from edgenn.runtime.heat import THERMAL, read_temperatures
from edgenn.types import Detections, Event, Frame, Prediction, Result

HISTORY = 120  # rows, one a second
READY_WITHIN = 5.0  # seconds
# From a sensor net on a fast processor to a detector on a slow one.
BOUNDS_MS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10000)
_EVENTS = 50
_TOP = 5
_RECENT = 256


class Buckets:
    """Durations of one stage, counted by upper bound.

    Attributes:
        counts: How many fell under each of `BOUNDS_MS`, but over the one before; last, over all.
        total_ms: Their sum in milliseconds.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_MS) + 1)
        self.total_ms = 0.0

    def add(self, ms: float) -> None:
        """Count one duration in milliseconds."""
        self.counts[bisect_left(BOUNDS_MS, ms)] += 1
        self.total_ms += ms

    def copy(self) -> Buckets:
        """The same numbers, which stay as they are."""
        twin = Buckets()
        twin.counts, twin.total_ms = list(self.counts), self.total_ms
        return twin


class Board:
    """Takes results from the loop, and is read by the server's threads.

    `add` costs the loop some microseconds: it counts and keeps references. All
    that takes longer is done by `sample`, which another thread calls once a second.

    Args:
        model: Name of the model.
        card: Its model card, as text.
        thermal: Folder of the thermal zones.

    Attributes:
        model: Name of the model.
        card: Its model card, as text.
        health: Counters of the run.
    """

    def __init__(
        self,
        model: str = "",
        card: str = "",
        *,
        thermal: Path = THERMAL,
    ) -> None:
        self.model = model
        self.card = card
        self.health = Health()
        self._thermal = thermal
        self._lock = threading.Lock()
        self._start = self._sampled = monotonic()
        self._frames = self._frames_sampled = 0
        self._stages: dict[str, Buckets] = {}
        self._sums_sampled: dict[str, float] = {}
        self._total = Histogram()
        self._worst = 0.0
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._event_counts: Counter[str] = Counter()
        self._recent: deque[Prediction] = deque(maxlen=_RECENT)
        self._rows: deque[dict[str, Any]] = deque(maxlen=HISTORY)
        self._temperatures: dict[str, float] = {}
        self._newest: Result | None = None
        self._newest_at = 0.0

    def add(self, result: Result) -> None:
        """Count one result; its frame is not touched."""
        now = monotonic()
        with self._lock:
            self._frames += 1
            self._newest, self._newest_at = result, now
            self._recent.append(result.prediction)
            for stage, ms in result.latency_ms.items():
                buckets = self._stages.get(stage)
                if buckets is None:
                    buckets = self._stages[stage] = Buckets()
                buckets.add(ms)
            total = result.latency_ms.get("total", 0.0)
            self._total.add(total)
            self._worst = max(self._worst, total)
            for event in result.events:
                self._event_counts[event.label] += 1
                self._events.append(_entry(event))

    def sample(self) -> None:
        """Add a row to the history: what happened since the last one."""
        temperatures = read_temperatures(self._thermal)
        with self._lock:
            now = monotonic()
            seconds, self._sampled = max(now - self._sampled, 1e-6), now
            count, self._frames_sampled = self._frames - self._frames_sampled, self._frames
            recent, self._recent = self._recent, deque(maxlen=_RECENT)
            sums = {stage: buckets.total_ms for stage, buckets in self._stages.items()}
            before, self._sums_sampled = self._sums_sampled, sums
            worst, self._worst = self._worst, 0.0
            self._temperatures = temperatures
        means = {s: (sums[s] - before.get(s, 0.0)) / count for s in sums} if count else {}
        row = {
            "t": round(now - self._start, 2),
            "rate": round(count / seconds, 2),
            "latency": {stage: round(ms, 3) for stage, ms in means.items()},
            "worst": round(worst, 3),
            "scores": best_scores(recent),
            "temperature": max(temperatures.values(), default=None),
            "dropped": self.health.dropped,
        }
        with self._lock:
            self._rows.append(row)

    def age(self) -> float | None:
        """Seconds since the newest result; None before the first."""
        with self._lock:
            return monotonic() - self._newest_at if self._newest is not None else None

    def is_ready(self) -> bool:
        """Whether there was a result within the last few seconds."""
        age = self.age()
        return age is not None and age < READY_WITHIN

    def live(self) -> dict[str, Any]:
        """All that changes on the page, ready for JSON."""
        age = self.age()
        with self._lock:
            newest = self._newest
            data: dict[str, Any] = {
                "model": self.model,
                "uptime": round(monotonic() - self._start, 1),
                "frames": self._frames,
                "events": list(self._events)[::-1],
                "rows": list(self._rows),
                "temperatures": self._temperatures,
                "total_ms": [round(self._total.percentile(q), 2) for q in (50, 95, 99)],
            }
        data["age"] = None if age is None else round(age, 2)
        data["dropped"] = self.dropped()
        data["reconnects"] = self.health.reconnects
        data["level"], data["reason"] = self.health.level, self.health.reason
        data["picture"] = newest is not None and isinstance(newest.item, Frame)
        data["source"] = without_login(newest.item.source) if newest is not None else ""
        data["seen"] = _seen(newest.prediction) if newest is not None else []
        return data

    def numbers(self) -> tuple[int, dict[str, Buckets], dict[str, int], dict[str, float]]:
        """Results, durations by stage, events by label, temperatures in °C by zone."""
        with self._lock:
            stages = {stage: buckets.copy() for stage, buckets in self._stages.items()}
            return self._frames, stages, dict(self._event_counts), dict(self._temperatures)

    def dropped(self) -> dict[str, int]:
        """What was lost: by the source, and by each sink."""
        sinks = list(self.health.sinks.items())
        return {"source": self.health.dropped, **{name: sink.dropped for name, sink in sinks}}


def best_scores(predictions: deque[Prediction]) -> dict[str, float]:
    """Highest score of each label over some results; the best few labels only."""
    best: dict[str, float] = {}
    for prediction in predictions:
        if isinstance(prediction, Detections):
            named = [(prediction.name(i), s) for i, s in enumerate(prediction.scores.tolist())]
        else:
            named = list(zip(prediction.labels, prediction.scores.tolist(), strict=True))
        for label, score in named:
            best[label] = max(score, best.get(label, 0.0))
    top = sorted(best.items(), key=lambda pair: -pair[1])[:_TOP]
    return {label: round(score, 4) for label, score in top}


def without_login(source: str) -> str:
    """A source's name without user and password, which camera URLs often hold."""
    return re.sub(r"://[^/?#]*@", "://", source)


def _entry(event: Event) -> dict[str, Any]:
    score = round(float(event.score), 4)
    return {
        "label": event.label,
        "score": score,
        "seconds": round(float(event.end - event.start), 2),
        "at": round(time(), 2),
    }


def _seen(prediction: Prediction) -> list[list[str | float]]:
    """Label and a number: how many of it were found, or its score."""
    if isinstance(prediction, Detections):
        counts = Counter(prediction.name(i) for i in range(len(prediction)))
        return [[label, n] for label, n in sorted(counts.items())]
    order = (-prediction.scores).argsort()[:_TOP]
    return [[prediction.labels[i], round(float(prediction.scores[i]), 3)] for i in order]
