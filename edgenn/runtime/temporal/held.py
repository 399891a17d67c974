"""One event each time that a tracked object keeps a label for a while.

For detectors whose labels are a state of the object, such as the gesture of a hand: the event is
given out once the label has held for ``min_duration``, and again only after another label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._shared import parse
from edgenn.types import Detections, Event, Frame, Prediction, Window


class Params(Strict):
    """What the manifest may set.

    Attributes:
        on: Score from which on a label counts, 0..1.
        min_duration: Seconds that it has to hold.
        max_gap: Seconds for which it may be away, or the object unseen.
        background: Labels that are no event.
    """

    on: float = Field(0.5, ge=0, le=1)
    min_duration: float = Field(0.3, ge=0, le=60)
    max_gap: float = Field(0.15, ge=0, le=60)
    background: tuple[str, ...] = ()


@dataclass(slots=True)
class _Holding:
    """What an object is, since when, and when it was last seen so."""

    label: str
    since: float
    last: float
    best: float
    given: bool = False


class Held(Stage):
    """The stage; it forgets objects that are gone.

    Raises:
        ModelError: A label that the model does not have.
    """

    def __init__(self, params: Params, labels: tuple[str, ...]) -> None:
        unknown = [name for name in params.background if name not in labels]
        if unknown:
            raise ModelError(f"temporal.held.background: the model has no label {unknown[0]!r}")
        self._params = params
        self.event_labels = tuple(name for name in labels if name not in params.background)
        self._objects: dict[int, _Holding] = {}

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """See `edgenn.runtime.temporal.Stage.update`."""
        if not isinstance(prediction, Detections) or not isinstance(item, Frame):
            raise ModelError("temporal.held is for detectors")
        if prediction.tracks is None:
            raise ModelError("temporal.held needs tracked objects: add the stage track before it")
        now, events = item.time, []
        for i, number in enumerate(prediction.tracks.ids.tolist()):
            label, score = prediction.name(i), float(prediction.scores[i])
            if number and score >= self._params.on:
                event = self._see(number, label, score, now)
                events += [event] if event is not None else []
        gone = [n for n, held in self._objects.items() if now - held.last > self._params.max_gap]
        for number in gone:
            del self._objects[number]
        return prediction, tuple(events)

    def reset(self) -> tuple[Event, ...]:
        """Forget all objects; what has not held for long enough was nothing."""
        self._objects.clear()
        return ()

    def _see(self, number: int, label: str, score: float, now: float) -> Event | None:
        held = self._objects.get(number)
        if held is None or held.label != label:
            # A short slip to another label does not end the one that holds.
            if held is not None and now - held.last <= self._params.max_gap and held.given:
                return None
            self._objects[number] = _Holding(label, now, now, score)
            held = self._objects[number]
        held.last, held.best = now, max(held.best, score)
        due = now - held.since >= self._params.min_duration and not held.given
        if not due or label in self._params.background:
            return None
        held.given = True
        return Event(label, held.since, now, held.best, number)


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Held:
    """Make the stage.

    Raises:
        ModelError: Its parameters are not valid.
    """
    return Held(parse(Params, params, "held"), labels)
