"""The whole of ``edgenn tune``: thresholds of the gestures stage, found on validation recordings.

The model runs once over the recordings; what the search tries are replays of
its scores through the stage itself, so that what is measured is what a device
will do. The search is a coarse grid over smoothing and the two thresholds, then
one parameter after the other, then a threshold per class. Nothing in it is
random.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from edgenn.bundle.manifest import Manifest
from edgenn.data import Clip, Picture, Progress, Recording
from edgenn.errors import DataError, UsageError
from edgenn.export.streams import Scores, is_continuous, recordings_of, replay
from edgenn.train.events import EventMetrics, Stream, background_labels, measure

_ALPHA = (1.0, 0.6, 0.35, 0.2, 0.1, 0.05)
_ON = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# ``off`` as a share of ``on``.
_OFF = (0.4, 0.6, 0.8, 1.0)
# Values that are tried one parameter after the other, around the best of the grid.
_SWEEPS: Mapping[str, Sequence[float]] = {
    "min_duration": (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.8, 1.2),
    "refractory": (0.3, 0.0, 0.15, 0.5, 0.8),
    "max_gap": (0.0, 0.1, 0.2, 0.4),
    "alpha": (1.0, 0.8, 0.6, 0.45, 0.35, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05),
    "on": (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95),
    "off": (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9),
}
_ROUNDS = 2
# What leaving the limits as far again as they reach costs, in F1.
_PENALTIES = (0.0, 0.01, 1000.0)
_CLASS_STEPS = (-0.3, -0.2, -0.1, 0.1, 0.2, 0.3)
# Shares of the input window by which the scores may follow behind.
_LAGS = (0.0, 0.25, 0.5, 0.75, 1.0)
# Seconds the same for nets with a label per step, whose window is short.
_SHORT_LAGS = (0.1, 0.2, 0.35)

Key = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What parameters have to stay within.

    Attributes:
        false_alarms: Most false alarms per hour.
        delay_ms: Longest median delay after the end of a gesture, milliseconds.
    """

    false_alarms: float = 6.0
    delay_ms: float = float("inf")

    def keeps(self, metrics: EventMetrics) -> bool:
        """Whether events stay within."""
        return self._excess(metrics) == 0

    def rate(self, metrics: EventMetrics) -> Key:
        """Within the limits (or how far not), then F1, then a short delay; more is better."""
        delay = float("inf") if metrics.delay_ms is None else metrics.delay_ms
        # Thousandths are chance; the quicker of two that are as good is the better one.
        return -self._excess(metrics), round(metrics.f1, 3), -delay

    def _excess(self, metrics: EventMetrics) -> float:
        delay = 0.0 if metrics.delay_ms is None else metrics.delay_ms
        late = max(0.0, delay - self.delay_ms) / max(1.0, self.delay_ms)
        return late + max(0.0, metrics.false_alarms - self.false_alarms) / max(
            1.0, self.false_alarms
        )


@dataclass(frozen=True, slots=True)
class Tuned:
    """What was found.

    Attributes:
        params: Of the gestures stage.
        before: Events with the temporal stages as they were.
        after: Events with these parameters.
        better: Whether they are better than what was there.
        temporal: Temporal stages of the manifest with these parameters.
    """

    params: dict[str, Any]
    before: EventMetrics
    after: EventMetrics
    better: bool
    temporal: dict[str, dict[str, Any]]


def streams_to_tune(
    manifest: Manifest, samples: Sequence[Picture | Recording | Clip], *, join: bool
) -> list[Recording]:
    """The recordings to tune on.

    Raises:
        UsageError: The model is none for sequences, takes video, or decodes by CTC.
        DataError: There are none, or no gesture in them has an end.
    """
    refuse_other_models(manifest)
    recordings = recordings_of(manifest, samples, join=join)
    if not recordings:
        raise DataError("there are no validation recordings to tune on")
    if not join and not is_continuous(manifest, recordings):
        raise DataError(
            "every recording is one class from its beginning to its end, so there is nothing to "
            "tell a gesture from; add --join to lay them one after the other with pauses"
        )
    return recordings


def refuse_other_models(manifest: Manifest) -> None:
    """Refuse models that the stage is of no use for.

    Raises:
        UsageError: The model is none for sequences, takes video, or decodes by CTC.
    """
    if manifest.task != "sequence":
        raise UsageError(f"tune is for sequence models; {manifest.name} is a {manifest.task} model")
    if manifest.input.kind == "image":
        raise UsageError(f"tune is for models of sensor readings; {manifest.name} takes video")
    if "ctc" in manifest.temporal:
        raise UsageError(f"{manifest.name} finds events by ctc, which has nothing to tune")


def tune(manifest: Manifest, scores: Sequence[Scores], limits: Limits, progress: Progress) -> Tuned:
    """Find the parameters with the highest event F1.

    Args:
        manifest: Of a sequence model.
        scores: Of its validation recordings.
        limits: What to stay within; where nothing does, what comes nearest is taken.
        progress: Told of every trial.

    Raises:
        DataError: The recordings hold no event.
    """
    before = measure([replay(manifest, part, manifest.temporal) for part in scores])
    if not before.true:
        raise DataError("the validation recordings hold no event to tune on")
    start = _start(manifest)
    labels = [x for x in before.per_class if x not in start["background"]]
    total = len(_ALPHA) * len(_ON) * len(_OFF) + _ROUNDS * sum(map(len, _SWEEPS.values()))
    total += 1 + len(labels) * len(_CLASS_STEPS)
    tick = progress("search thresholds", total * len(_PENALTIES))
    search = _Search(manifest, scores, limits, tick)
    for number, penalty in enumerate(_PENALTIES, start=1):
        if search.walk(search.best or start, labels, penalty):
            for _ in range(total * (len(_PENALTIES) - number)):
                tick()
            break
    assert search.after is not None
    better = search.key > limits.rate(before)
    stages = _with_gestures(manifest, search.best)
    return Tuned(search.best, before, search.after, better, stages)


def _with_gestures(manifest: Manifest, params: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The temporal stages with gestures as the last one, which smooths by itself."""
    kept = {
        name: own
        for name, own in manifest.temporal.items()
        if name not in ("smoothing", "gestures")
    }
    return {**kept, "gestures": params}


def _start(manifest: Manifest) -> dict[str, Any]:
    """What the search begins with: near to what the manifest has."""
    params: dict[str, Any] = {
        "smooth": "ema",
        "alpha": 0.5,
        "on": 0.6,
        "off": 0.4,
        "class_on": {},
        "min_duration": 0.1,
        "max_gap": 0.0,
        "refractory": 0.3,
        "lag": 0.0,
    }
    smoothing = manifest.temporal.get("smoothing")
    if "gestures" in manifest.temporal:
        params |= manifest.temporal["gestures"]
    elif smoothing is not None:
        threshold = smoothing.get("threshold", 0.5)
        params |= {"alpha": smoothing.get("alpha", 0.5), "on": threshold, "off": threshold}
        params |= {"min_duration": 0.0, "refractory": 0.0}
    names = background_labels(manifest.labels, manifest.temporal)
    return params | {"background": list(names)}


class _Search:
    """The best so far, and how others compare to it.

    Attributes:
        best: Parameters of the gestures stage that rate highest within the limits.
        key: How they rate.
        after: The events that they give.
    """

    def __init__(
        self,
        manifest: Manifest,
        scores: Sequence[Scores],
        limits: Limits,
        tick: Callable[[], object],
    ) -> None:
        self._manifest, self._scores = manifest, scores
        self._limits, self._tick = limits, tick
        self._tried: dict[str, list[tuple[float, EventMetrics]]] = {}
        spec = manifest.input
        assert spec.kind == "window"
        window = [share * spec.length / spec.rate for share in _LAGS]
        self._lags = [round(lag, 3) for lag in sorted({*window, *_SHORT_LAGS})]
        self.best: dict[str, Any] = {}
        self.key: Key = (float("-inf"), 0.0, 0.0)
        self.after: EventMetrics | None = None

    def walk(self, start: dict[str, Any], labels: Sequence[str], penalty: float) -> bool:
        """Go from parameters to better ones as long as there are any.

        Args:
            start: Where to begin.
            labels: Classes that may get a threshold of their own.
            penalty: What it costs to leave the limits on the way. A walk that
                never leaves them ends early, for lack of a path.

        Returns:
            Whether it ended within the limits, so that none with a higher penalty
            can do better.
        """
        here = _Here(start, penalty)
        self._offer(here, start)
        base = here.params
        # Smoothing and both thresholds together, for they depend on each other.
        for alpha, on, share in product(_ALPHA, _ON, _OFF):
            more = {"alpha": alpha, "on": on, "off": round(on * share, 3)}
            self._offer(here, {**base, "smooth": "ema", "class_on": {}, **more})
        for name, values in [*_SWEEPS.items()] * _ROUNDS:
            base = here.params
            for value in values:
                self._offer(here, {**base, name: value})
        for label in labels:
            base = here.params
            common = base["class_on"].get(label, base["on"])
            for step in _CLASS_STEPS:
                own = round(min(0.99, max(0.05, common + step)), 3)
                self._offer(here, {**base, "class_on": {**base["class_on"], label: own}})
        return here.is_within

    def _offer(self, here: _Here, params: dict[str, Any]) -> None:
        """Try parameters, with every lag, and keep them if they are the best so far."""
        self._tick()
        if params["off"] > params["on"]:
            return
        for lag, metrics in self._measured(params):
            key = self._limits.rate(metrics)
            if key > self.key:
                self.key, self.after, self.best = key, metrics, {**params, "lag": lag}
            here.offer(key, {**params, "lag": lag})

    def _measured(self, params: Mapping[str, Any]) -> list[tuple[float, EventMetrics]]:
        """Events with each lag."""
        name = json.dumps(params, sort_keys=True)
        if name not in self._tried:
            stages = _with_gestures(self._manifest, {**params, "lag": 0.0})
            streams = [replay(self._manifest, part, stages) for part in self._scores]
            lags = sorted({*self._lags, params["lag"]})
            self._tried[name] = [(lag, measure(_earlier(streams, lag))) for lag in lags]
        return self._tried[name]


class _Here:
    """Where a walk is."""

    def __init__(self, params: dict[str, Any], penalty: float) -> None:
        self.params, self._penalty = params, penalty
        self._value = (float("-inf"), 0.0)
        self.is_within = False

    def offer(self, key: Key, params: dict[str, Any]) -> None:
        """Go there if it is better."""
        value = (key[1] + self._penalty * key[0], key[2])
        if value > self._value:
            self._value, self.params, self.is_within = value, params, key[0] == 0


def _earlier(streams: Sequence[Stream], lag: float) -> list[Stream]:
    """The same streams with the found events moved, as the stage's ``lag`` does it."""
    return [
        replace(
            stream,
            found=tuple(
                (replace(event, start=event.start - lag, end=event.end - lag), given)
                for event, given in stream.found
            ),
        )
        for stream in streams
    ]
