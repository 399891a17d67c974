"""Events of a net trained with a CTC loss: best-path decoding, one step at a time.

Such a net is silent, which is to say blank, but for a spike near the end of
each gesture (Molchanov et al., "Online Detection and Classification of Dynamic
Hand Gestures with Recurrent 3D Convolutional Neural Networks", CVPR 2016). The
best label of every step, with repeats merged and blanks dropped, is the
sequence of gestures: one event per spike, given out with the first step after
it. Start and end are those of the spike, not of the gesture, of which the net
never learned the extent. `edgenn.ops.ctc` decodes whole sequences.
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
from edgenn.types import Classification, Event, Frame, Prediction, Window


class Params(Strict):
    """What the manifest may set.

    Attributes:
        blank: Label of the blank; empty for the first label, where CTC losses expect it.
        threshold: A spike whose best score is below this is no event.
        refractory: No event begins within so many seconds after the end of another one.
    """

    blank: str = ""
    threshold: float = Field(0.5, ge=0, le=1)
    refractory: float = Field(0.0, ge=0, le=60)


class Ctc(Stage):
    """The stage; it leaves predictions as they are."""

    def __init__(self, params: Params, labels: tuple[str, ...]) -> None:
        self._params = params
        self._blank = params.blank or labels[0]
        self._spike: Event | None = None
        self._last: float | None = None
        self._quiet_until = -np.inf

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Returns the prediction, and the event of the spike that is over."""
        if not isinstance(prediction, Classification):
            raise ModelError("ctc takes the scores of a classifier, not detections")
        start, end = span(item, self._last)
        self._last = end
        spike, label = self._spike, prediction.label
        if spike is not None and spike.label == label:
            self._spike = replace(spike, end=end, score=max(spike.score, prediction.score))
            return prediction, ()
        self._spike = None
        if label != self._blank:
            self._spike = Event(label, start, end, prediction.score)
        return prediction, self._kept(spike)

    def reset(self) -> tuple[Event, ...]:
        """Forget the stream."""
        kept = self._kept(self._spike)
        self._spike = self._last = None
        self._quiet_until = -np.inf
        return kept

    def _kept(self, spike: Event | None) -> tuple[Event, ...]:
        if spike is None or spike.score < self._params.threshold or spike.start < self._quiet_until:
            return ()
        if self._params.refractory:
            self._quiet_until = spike.end + self._params.refractory
        return (spike,)


def build(params: Mapping[str, Any], labels: tuple[str, ...]) -> Ctc:
    """Make the stage.

    Raises:
        ModelError: A parameter that it does not have, out of range, or an unknown label.
    """
    parsed = parse(Params, params, "ctc")
    if parsed.blank and parsed.blank not in labels:
        raise ModelError(f"temporal.ctc.blank names a label that is not there: {parsed.blank}")
    return Ctc(parsed, labels)
