"""The values that stages pass to each other: frozen, numpy only.

Sources make `Frame` and `Samples`; windowing makes `Window`; a model makes
`Detections` or `Classification`; temporal stages make `Event`; the pipeline
wraps all of it in a `Result`. Readers, drawers and writers live elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture.

    Attributes:
        image: (H, W, 3) uint8, BGR as OpenCV delivers it. It may be kept: it is
            never changed after it was handed on. Rows may be padded.
        time: Seconds: media time for files, monotonic clock for live sources.
        index: Number of the frame in its source, from 0.
        source: What the user named as the source.
        path: File the picture came from, for folders of images.
        readings: Of a sensor that runs beside: those after the frame before, up to ``time``;
            None where there is none. See `edgenn.runtime.join`.
    """

    image: Image
    time: float
    index: int
    source: str = ""
    path: str | None = None
    readings: Samples | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Consecutive readings of a sensor.

    Attributes:
        values: (n, C) float32, one row per reading, in the sensor's units; NaN where it failed.
        times: (n,) float64, seconds: recording time for files, monotonic clock for live
            sources; not decreasing unless the sensor's clock was set back.
        source: What the user named as the source.
        index: Number of the first reading in its source, from 0.
        channels: C names, where the source knows them.
        frame: Of a camera that runs beside: its newest picture that is not newer than the
            last reading; None where there is none. See `edgenn.runtime.join`.
    """

    values: Floats
    times: NDArray[np.float64]
    source: str = ""
    index: int = 0
    channels: tuple[str, ...] = ()
    frame: Frame | None = None

    def cut(self, start: int, end: int) -> Samples:
        """The readings from ``start`` to before ``end``, counted within these."""
        values, times = self.values[start:end], self.times[start:end]
        return replace(self, values=values, times=times, index=self.index + start)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A fixed stretch of a sensor stream, ready for a model.

    Attributes:
        values: (T, C) float32 in the sensor's units, before normalisation.
        start: Seconds, time of the first reading.
        end: Seconds, time of the last reading.
        index: Number of the window in its source, from 0.
        source: What the user named as the source.
        frame: Of a camera that runs beside: its newest picture at the last reading, or None.
    """

    values: Floats
    start: float
    end: float
    index: int = 0
    source: str = ""
    frame: Frame | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """Which of the objects seen before each detection of a frame is.

    Attributes:
        ids: (N,) int64, from 1; an object keeps its number.
        ages: (N,) float32, seconds since it was first seen.
        speeds: (N, 2) float32, of its centre, across and down, pixels of the frame a second.
    """

    ids: NDArray[np.int64]
    ages: Floats
    speeds: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Objects found in one frame, best first.

    Attributes:
        boxes: (N, 4) float32, x1 y1 x2 y2 in pixels of the original frame.
        scores: (N,) float32 in 0..1.
        class_ids: (N,) int64, index into ``labels``.
        labels: Names of all classes of the model.
        keypoints: (N, K, 3) float32: x, y in pixels of the original frame, which may lie
            outside of it, and score 0..1; None where the model gives none.
        tracks: Who is who over time; None without a tracker.
    """

    boxes: Floats
    scores: Floats
    class_ids: NDArray[np.int64]
    labels: tuple[str, ...] = ()
    keypoints: Floats | None = None
    tracks: Tracks | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def name(self, i: int) -> str:
        """Label of detection ``i``, or its class number where it has no name."""
        class_id = int(self.class_ids[i])
        return self.labels[class_id] if class_id < len(self.labels) else str(class_id)

    @classmethod
    def empty(cls, labels: tuple[str, ...] = ()) -> Detections:
        """No detections at all."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            labels,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Classification:
    """A score for every class.

    Attributes:
        scores: (C,) float32 in 0..1, summing to 1 for single-label models.
        labels: (C,) names.
    """

    scores: Floats
    labels: tuple[str, ...]

    @property
    def class_id(self) -> int:
        """Index of the best class."""
        return int(self.scores.argmax())

    @property
    def label(self) -> str:
        """Name of the best class."""
        return self.labels[self.class_id]

    @property
    def score(self) -> float:
        """Score of the best class, 0..1."""
        return float(self.scores[self.class_id])


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What a classifier said of a recording, step by step.

    Attributes:
        ends: (S,) int64, number of the last reading of each step, from 0.
        scores: (S, C) float32 in 0..1.
        labels: (C,) names.
    """

    ends: NDArray[np.int64]
    scores: Floats
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: times in seconds on the source's clock, score 0..1.

    Attributes:
        label: What.
        start: When it began.
        end: When it was over.
        score: Of what it was concluded from.
        track: Number of the object that did it, from 1; 0 where none is followed.
        count: Of a line, crossings that way so far; of a zone, objects in it now; else None.
    """

    label: str
    start: float
    end: float
    score: float
    track: int = 0
    count: int | None = None


Prediction = Detections | Classification


@dataclass(frozen=True, slots=True, eq=False)
class Mark:
    """A line or zone that is watched, to be drawn.

    Attributes:
        text: Its name, and what was counted there.
        points: (N, 2) float64 x and y in frame pixels, at least two.
        closed: The last point is joined to the first.
    """

    text: str
    points: NDArray[np.float64]
    closed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """All that the pipeline knows of one frame or window.

    Attributes:
        item: The frame or window that was looked at.
        prediction: What the model said of it.
        events: What temporal stages concluded at this point.
        latency_ms: Milliseconds per stage: capture, preprocess, inference,
            decode, total.
        captured: Monotonic seconds when the item was captured or, of files, read.
        marks: Lines and zones that temporal stages watch.
    """

    item: Frame | Window
    prediction: Prediction
    events: tuple[Event, ...] = ()
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    captured: float = 0.0
    marks: tuple[Mark, ...] = ()
