"""Users' own data layouts, read into a few plain types.

Readers (`edgenn.data.readers`) find the samples, `edgenn.data.load` checks and
splits them, `edgenn.data.feed` gives them to training one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats

Side = Literal["train", "val", ""]

# Called with a step's name and its number of items; what it returns is called once per item.
Progress = Callable[[str, int], Callable[[], object]]


def quiet(step: str, total: int) -> Callable[[], object]:
    """A `Progress` that shows nothing."""
    del step, total
    return lambda: None


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a sample.

    Attributes:
        file: Where, relative to the data set.
        reason: What is wrong, in words.
        mended: True where the fault was put right and nothing is lost: a box
            cut to its picture, a recording cut at a gap, a copy left out.
            Otherwise the sample is not used and counts as bad.
    """

    file: str
    reason: str
    mended: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One labelled picture.

    Attributes:
        path: The picture file.
        class_ids: (N,) int64: one per box for detectors, exactly one for classifiers.
        boxes: (N, 4) float32 x1 y1 x2 y2 in pixels; (0, 4) for classifiers.
        group: Person, scene or recording it belongs to.
        split: What the data itself says: "train", "val" or nothing.
    """

    path: Path
    class_ids: NDArray[np.int64]
    boxes: Floats
    group: str
    split: Side = ""


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One stretch of sensor readings without a gap.

    Attributes:
        name: File, or file and number, it came from.
        values: (T, C) float32 in the sensor's units.
        class_ids: (T,) int64, class of each reading; -1 where unlabelled.
        rate: Readings per second.
        group: Person or session it belongs to.
        split: What the data itself says: "train", "val" or nothing.
    """

    name: str
    values: Floats
    class_ids: NDArray[np.int64]
    rate: float
    group: str
    split: Side = ""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One labelled stretch of a video file, not decoded.

    Attributes:
        path: The video file.
        start: Seconds from its beginning.
        end: Seconds from its beginning; infinite for a clip that reaches to its end.
        class_id: Its class.
        group: Person, scene or recording it belongs to.
        split: What the data itself says: "train", "val" or nothing.
        size: Height, width in pixels.
        fps: Frames per second.
        frames: Frames from start to end.
    """

    path: Path
    start: float
    end: float
    class_id: int
    group: str
    split: Side
    size: tuple[int, int]
    fps: float
    frames: int

    @property
    def name(self) -> str:
        """Path, and the second of the start where it is not the beginning."""
        return f"{self.path}@{self.start:g}" if self.start else str(self.path)

    @property
    def class_ids(self) -> NDArray[np.int64]:
        """(1,) int64, as other samples have them."""
        return np.array([self.class_id], np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """All that a reader found.

    Attributes:
        labels: Class names; class ids index into it.
        pictures: Samples of detectors and classifiers.
        recordings: Samples of sequence models for sensors.
        clips: Samples of sequence models for video.
        channels: Names of the sensor channels.
        problems: What was left out or mended.
    """

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...] = ()
    recordings: tuple[Recording, ...] = ()
    clips: tuple[Clip, ...] = ()
    channels: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


Samples = tuple[Picture, ...] | tuple[Recording, ...] | tuple[Clip, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Checked and split data, ready to train on.

    Attributes:
        labels: Class names; class ids index into it.
        train: Samples to train on.
        val: Samples to validate on; shares no group with ``train`` unless split by sample.
        channels: Names of the sensor channels; empty for pictures and clips.
        rate: Readings per second; 0 for pictures and clips.
        problems: What was left out or mended.
        sha256: Hash over names and labels of all samples, hex, for provenance.
    """

    labels: tuple[str, ...]
    train: Samples
    val: Samples
    channels: tuple[str, ...] = ()
    rate: float = 0.0
    problems: tuple[Problem, ...] = field(default=())
    sha256: str = ""
