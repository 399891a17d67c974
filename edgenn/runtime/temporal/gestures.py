"""One event per gesture: smoothed scores, two thresholds, a least duration and a pause after.

A gesture begins when the smoothed score of its label reaches ``on``, and holds
until that score falls under ``off`` or another gesture takes over: reaches its
own ``on`` with a higher score. Two thresholds keep a score that trembles around
one of them from making many events (hysteresis, as in a Schmitt trigger). The
event starts where the score last rose over ``off``, so that its extent is that
of the gesture and not only of its surest part.

When an event is given out decides how late a user hears of it. By default that
is when the gesture is over: the event then has its true extent, without which
no overlap with the truth can be measured, and the delay after the end of the
gesture is what the score takes to fall, a few steps for a net with a label per
step. ``early`` gives it out while the gesture still goes on, as soon as it has
held for ``min_duration``, and ends the event there: for a switch or a game,
which react to a gesture and do not care for how long it went on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._shared import parse, span
from edgenn.types import Classification, Event, Floats, Frame, Prediction, Window

Score = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=60)]
# Times are sums of intervals that have no exact binary form.
_EPS = 1e-6


class Params(Strict):
    """What the manifest may set; times are in seconds on the clock of the items.

    Attributes:
        smooth: "ema", exponentially weighted scores; "mean" of those of the last
            ``length`` seconds; or "none".
        alpha: Weight of the newest scores in "ema"; 1 switches smoothing off.
        length: Seconds that "mean" looks back.
        on: Smoothed score from which on a gesture begins.
        off: Score under which it is over; at most ``on``.
        class_on: Label to a threshold of its own in place of ``on``; where that
            is below ``off``, it is that label's ``off`` as well.
        min_duration: A gesture that holds for less once it reached ``on`` is no event.
        max_gap: A score that is back over ``off`` after less than this was never
            away; the event is given out so much later.
        refractory: No event begins within this time after the end of another one,
            whatever its label. The same label rising again within it is taken for
            the same gesture and makes no event, however long it then holds; another
            gesture that still holds afterwards is one from there on.
        lag: Taken off start and end of every event: how far the scores follow
            behind the gesture, such as half the window of a window classifier.
        background: Labels of doing nothing, which make no event.
        early: Give an event out once it has held for ``min_duration``, not at its end.
    """

    smooth: Literal["ema", "mean", "none"] = "ema"
    alpha: float = Field(0.5, gt=0, le=1)
    length: float = Field(0.3, gt=0, le=60)
    on: Score = 0.6
    off: Score = 0.4
    class_on: Mapping[str, Score] = {}
    min_duration: Seconds = 0.1
    max_gap: Seconds = 0.0
    refractory: Seconds = 0.3
    lag: Seconds = 0.0
    background: tuple[str, ...] = ()
    early: bool = False

    @model_validator(mode="after")
    def _off_is_not_above_on(self) -> Params:
        if self.off > self.on:
            raise ValueError(f"off ({self.off:g}) must not be above on ({self.on:g})")
        return self


@dataclass(slots=True)
class _Active:
    """The gesture that holds: its class, start, when it reached ``on``, and so on."""

    class_id: int
    start: float
    reached: float
    held: float
    score: float
    given: bool = False


class Gestures(Stage):
    """The stage; its memory does not grow with the stream.

    Raises:
        ModelError: A label that the model does not have.
    """

    def __init__(self, params: Params, labels: tuple[str, ...]) -> None:
        self._params, self._labels = params, labels
        on = np.array([params.class_on.get(name, params.on) for name in labels], np.float32)
        # Nothing reaches this, so that background needs no case of its own.
        on[[name in params.background for name in labels]] = np.inf
        self._on, self._off = on, np.where(on < np.inf, np.fmin(on, np.float32(params.off)), on)
        self._alpha = np.float32(params.alpha)
        self._past: deque[tuple[float, Floats]] = deque()
        self._scores: Floats | None = None
        # When each label last rose over its ``off``; infinity where it is under it.
        self._since: NDArray[np.float64] = np.full(len(labels), np.inf)
        self._active: _Active | None = None
        self._last: float | None = None
        self._quiet_until = -np.inf
        self._spent: int | None = None

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the smoothed classification, and the event that is due."""
        if not isinstance(prediction, Classification):
            raise ModelError("gestures takes the scores of a classifier, not detections")
        start, now = span(item, self._last)
        scores = self._smoothed(prediction.scores, now)
        above = scores >= self._off
        rival = None
        if above.any():
            self._since = np.where(above, np.minimum(self._since, start), np.inf)
            rival = self._rival(scores)
        else:
            self._since.fill(np.inf)
        events = self._follow(scores, above, rival, now)
        if self._active is None:
            self._begin(scores, above, rival, start, now)
            events += self._early()
        self._last = now
        return Classification(scores, prediction.labels), events

    def reset(self) -> tuple[Event, ...]:
        """Forget the stream; a gesture that this cuts off is an event if it was long enough."""
        events = self._close()
        self._past.clear()
        self._since[:] = np.inf
        self._scores = self._last = self._spent = None
        self._quiet_until = -np.inf
        return events

    def _smoothed(self, scores: Floats, now: float) -> Floats:
        params = self._params
        if params.smooth == "mean":
            self._past.append((now, scores))
            while now - self._past[0][0] > params.length - _EPS and len(self._past) > 1:
                self._past.popleft()
            return np.asarray(np.mean([s for _, s in self._past], axis=0), np.float32)
        if params.smooth == "none":
            return scores
        if self._scores is None:
            self._scores = scores.astype(np.float32)
        else:
            self._scores = self._scores + self._alpha * (scores - self._scores)
        return self._scores

    def _rival(self, scores: Floats) -> int | None:
        """The gesture with the highest score of those that reach their ``on``."""
        reaching = scores >= self._on
        best = int((scores * reaching).argmax())
        return best if reaching[best] else None

    def _follow(
        self, scores: Floats, above: NDArray[np.bool_], rival: int | None, now: float
    ) -> tuple[Event, ...]:
        active = self._active
        if active is None:
            return ()
        own = float(scores[active.class_id])
        if rival is not None and rival != active.class_id and scores[rival] > own:
            return self._close()
        if above[active.class_id]:
            active.held, active.score = now, max(active.score, own)
            return self._early()
        if now - active.held < self._params.max_gap - _EPS:
            return ()
        return self._close()

    def _begin(
        self,
        scores: Floats,
        above: NDArray[np.bool_],
        rival: int | None,
        start: float,
        now: float,
    ) -> None:
        if now <= self._quiet_until + _EPS:
            return
        if self._spent is not None and not above[self._spent]:
            self._spent = None
        if rival is None or rival == self._spent:
            return
        since = max(float(self._since[rival]), self._quiet_until)
        reached = max(start, self._quiet_until)
        self._active = _Active(rival, since, reached, now, float(scores[rival]))

    def _early(self) -> tuple[Event, ...]:
        active = self._active
        if not self._params.early or active is None or active.given or not self._is_long(active):
            return ()
        active.given = True
        return (self._event(active),)

    def _close(self) -> tuple[Event, ...]:
        """End the gesture that holds."""
        active, self._active = self._active, None
        if active is None or not self._is_long(active):
            return ()
        self._quiet_until = active.held + self._params.refractory
        self._spent = active.class_id if self._params.refractory else None
        return () if active.given else (self._event(active),)

    def _is_long(self, active: _Active) -> bool:
        return active.held - active.reached >= self._params.min_duration - _EPS

    def _event(self, active: _Active) -> Event:
        lag = self._params.lag
        label = self._labels[active.class_id]
        return Event(label, active.start - lag, active.held - lag, active.score)


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Gestures:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, out of range, or an unknown label.
    """
    parsed = parse(Params, params, "gestures")
    for key, named in (("background", parsed.background), ("class_on", parsed.class_on)):
        unknown = sorted(set(named) - set(labels))
        if unknown:
            raise ModelError(f"temporal.gestures.{key} names labels that are not there: {unknown}")
    return Gestures(parsed, labels)
