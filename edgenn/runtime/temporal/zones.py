"""Who is in which part of the picture, and for how long; needs the stage `track` before it.

An object that enters makes the event ``NAME:enter``. One that leaves, or was lost for
``patience`` seconds, makes ``NAME:leave``, which lasts from when it entered to when it was last
seen there: the dwell time. Both carry how many are in the zone then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from pydantic import Field

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._places import Anchor, anchors, in_pixels, tracked
from edgenn.runtime.temporal._shared import parse
from edgenn.types import Detections, Event, Frame, Mark, Prediction, Window


class Params(Strict):
    """What the manifest may set.

    Attributes:
        zones: Name to the corners of a polygon, x, y, x, y..., in pixels, or in parts of the
            frame if all are at most 1.
        classes: Labels that count; none means all.
        anchor: What has to be inside: the middle of the box, or of its lower edge ("feet").
        patience: Seconds outside, or unseen, after which an object has left.
    """

    zones: Mapping[str, tuple[float, ...]] = {}
    classes: tuple[str, ...] = ()
    anchor: Anchor = "centre"
    patience: float = Field(0.5, ge=0, le=60)


@dataclass(slots=True)
class _Stay:
    """Of one object in one zone."""

    start: float
    last: float
    score: float


class Zones(Stage):
    """The stage."""

    def __init__(self, params: Params) -> None:
        self._params = params
        ways = ("enter", "leave")
        self.event_labels = tuple(f"{name}:{way}" for name in params.zones for way in ways)
        self._inside: dict[str, dict[int, _Stay]] = {name: {} for name in params.zones}

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the prediction as it was, and who entered and left."""
        frame, tracks = tracked(item, prediction, "zones")
        assert isinstance(prediction, Detections)
        params, now = self._params, frame.time
        points, events = anchors(prediction, params.anchor), []
        for name, numbers in params.zones.items():
            polygon = in_pixels(numbers, frame).astype(np.float32)
            stays = self._inside[name]
            for i, track in enumerate(tracks.ids.tolist()):
                if params.classes and prediction.name(i) not in params.classes:
                    continue
                x, y = points[i].tolist()
                if cv2.pointPolygonTest(polygon, (x, y), measureDist=False) < 0:
                    continue
                score = float(prediction.scores[i])
                if track in stays:
                    stays[track].last, stays[track].score = now, max(score, stays[track].score)
                else:
                    stays[track] = _Stay(now, now, score)
                    events.append(Event(f"{name}:enter", now, now, score, track, len(stays)))
            for track, stay in list(stays.items()):
                if stay.last < now and now - stay.last >= params.patience:
                    events.append(self._left(name, track))
        return prediction, tuple(events)

    def marks(self, frame: Frame) -> tuple[Mark, ...]:
        """Each zone with how many are in it."""
        return tuple(
            Mark(f"{name} {len(self._inside[name])}", in_pixels(numbers, frame), closed=True)
            for name, numbers in self._params.zones.items()
        )

    def reset(self) -> tuple[Event, ...]:
        """Forget the stream; all that were in a zone leave it."""
        return tuple(
            self._left(name, track) for name, stays in self._inside.items() for track in list(stays)
        )

    def _left(self, name: str, track: int) -> Event:
        stays = self._inside[name]
        stay = stays.pop(track)
        return Event(f"{name}:leave", stay.start, stay.last, stay.score, track, len(stays))


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Zones:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, out of range, or an unknown label.
    """
    parsed = parse(Params, params, "zones")
    for name, numbers in parsed.zones.items():
        if len(numbers) < 6 or len(numbers) % 2:
            raise ModelError(f"temporal.zones: {name} needs three or more pairs of x, y")
        corners = np.reshape(numbers, (-1, 2))
        if np.linalg.matrix_rank(corners - corners[0]) < 2:
            raise ModelError(f"temporal.zones: the corners of {name} lie on one line")
    unknown = sorted(set(parsed.classes) - set(labels))
    if unknown:
        raise ModelError(f"temporal.zones.classes names labels that are not there: {unknown}")
    return Zones(parsed)
