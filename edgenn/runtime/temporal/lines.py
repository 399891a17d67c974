"""Counts tracked objects that cross lines; needs the stage `track` before it.

Whoever looks along a line from its first point to its second sees "in" go from left to right. A
crossing is one event, ``NAME:in`` or ``NAME:out``, with the number of the track and the count so
far in that direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._places import Anchor, Doubles, anchors, in_pixels, tracked
from edgenn.runtime.temporal._shared import parse
from edgenn.types import Detections, Event, Frame, Mark, Prediction, Window

_FORGET_S = 10.0


class Params(Strict):
    """What the manifest may set.

    Attributes:
        lines: Name to x1, y1, x2, y2, in pixels, or in parts of the frame if all are at most 1.
        classes: Labels that count; none means all.
        anchor: What has to cross: the middle of the box, or of its lower edge ("feet").
        margin: Part of the box's height by which it must be beyond the line.
    """

    lines: Mapping[str, tuple[float, float, float, float]] = {}
    classes: tuple[str, ...] = ()
    anchor: Anchor = "centre"
    margin: Annotated[float, Field(ge=0, le=1)] = 0.05


class Lines(Stage):
    """The stage; counts last until it is made anew, also over a gap of the stream."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.event_labels = tuple(f"{name}:{way}" for name in params.lines for way in ("in", "out"))
        self._counts: Counter[str] = Counter()
        # Line and track to where it last stood clear of the line, and when it was last seen.
        self._stood: dict[tuple[str, int], tuple[Doubles, float]] = {}

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the prediction as it was, and the crossings."""
        frame, tracks = tracked(item, prediction, "lines")
        assert isinstance(prediction, Detections)
        params, events = self._params, []
        points = anchors(prediction, params.anchor)
        for name, numbers in params.lines.items():
            line = in_pixels(numbers, frame)
            along = line[1] - line[0]
            unit = along / np.hypot(*along)
            for i, track in enumerate(tracks.ids.tolist()):
                if params.classes and prediction.name(i) not in params.classes:
                    continue
                box, key = prediction.boxes[i], (name, track)
                side = _beyond(line[0], unit, points[i])
                before = self._stood.get(key)
                if abs(side) <= params.margin * float(box[3] - box[1]):
                    if before is not None:
                        self._stood[key] = before[0], frame.time
                    continue
                self._stood[key] = points[i], frame.time
                if before is None or not _crosses(before[0], points[i], line):
                    continue
                label = f"{name}:{'in' if side > 0 else 'out'}"
                self._counts[label] += 1
                score, count = float(prediction.scores[i]), self._counts[label]
                events.append(Event(label, frame.time, frame.time, score, track, count))
        self._stood = {k: v for k, v in self._stood.items() if frame.time - v[1] <= _FORGET_S}
        return prediction, tuple(events)

    def marks(self, frame: Frame) -> tuple[Mark, ...]:
        """Each line with how many crossed it."""
        return tuple(
            Mark(
                f"{name} in {self._counts[f'{name}:in']} out {self._counts[f'{name}:out']}",
                in_pixels(numbers, frame),
            )
            for name, numbers in self._params.lines.items()
        )

    def reset(self) -> tuple[Event, ...]:
        """Forget where objects stood, but not the counts."""
        self._stood.clear()
        return ()


def _beyond(origin: Doubles, unit: Doubles, point: Doubles) -> float:
    """Distance from a line, above 0 on its right-hand side."""
    dx, dy = point - origin
    return float(unit[0] * dy - unit[1] * dx)


def _crosses(a: Doubles, b: Doubles, line: Doubles) -> bool:
    """Whether the way from ``a`` to ``b`` cuts the line between its ends."""
    along, way = line[1] - line[0], b - a
    apart = _beyond(line[0], along, a) * _beyond(line[0], along, b) < 0
    return apart and _beyond(a, way, line[0]) * _beyond(a, way, line[1]) <= 0


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Lines:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, out of range, or an unknown label.
    """
    parsed = parse(Params, params, "lines")
    for name, (x1, y1, x2, y2) in parsed.lines.items():
        if (x1, y1) == (x2, y2):
            raise ModelError(f"temporal.lines: {name} begins where it ends; give two points")
    unknown = sorted(set(parsed.classes) - set(labels))
    if unknown:
        raise ModelError(f"temporal.lines.classes names labels that are not there: {unknown}")
    return Lines(parsed)
