"""Exponentially weighted scores of a classifier, and an event for each stretch of one label.

A label that holds from one update to the next makes one `Event`, given out
when the label changes or the stream ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.runtime.temporal import Stage
from edgenn.runtime.temporal._shared import parse, span
from edgenn.types import Classification, Event, Floats, Frame, Prediction, Window


class Params(Strict):
    """What the manifest may set.

    Attributes:
        alpha: Weight of the newest scores; 1 switches smoothing off.
        threshold: Smoothed score below which no label is taken to hold.
        ignore: Labels that make no event, such as rest.
    """

    alpha: float = Field(0.5, gt=0, le=1)
    threshold: float = Field(0.5, ge=0, le=1)
    ignore: tuple[str, ...] = ()


class Smoothing(Stage):
    """The stage; its scores stay a convex mix of the model's."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._alpha = np.float32(params.alpha)
        self._scores: Floats | None = None
        self._event: Event | None = None
        self._last: float | None = None

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the smoothed classification, and the event that its label ended."""
        if not isinstance(prediction, Classification):
            raise ModelError("smoothing takes the scores of a classifier, not detections")
        if self._scores is None:
            self._scores = prediction.scores.astype(np.float32)
        else:
            self._scores = self._scores + self._alpha * (prediction.scores - self._scores)
        smooth = Classification(self._scores, prediction.labels)
        start, end = span(item, self._last)
        self._last = end
        current = self._event
        if not self._holds(smooth):
            self._event = None
        elif current is not None and current.label == smooth.label:
            self._event = replace(current, end=end, score=max(current.score, smooth.score))
            return smooth, ()
        else:
            self._event = Event(smooth.label, start, end, smooth.score)
        return smooth, () if current is None else (current,)

    def reset(self) -> tuple[Event, ...]:
        """Forget the stream."""
        cut_off = self._event
        self._scores = self._event = self._last = None
        return () if cut_off is None else (cut_off,)

    def _holds(self, smooth: Classification) -> bool:
        return smooth.score >= self._params.threshold and smooth.label not in self._params.ignore


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Smoothing:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, out of range, or an unknown label.
    """
    parsed = parse(Params, params, "smoothing")
    unknown = sorted(set(parsed.ignore) - set(labels))
    if unknown:
        raise ModelError(f"temporal.smoothing.ignore names labels that are not there: {unknown}")
    return Smoothing(parsed)
