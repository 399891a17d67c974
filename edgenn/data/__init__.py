"""Users' own data layouts, read into a few plain types.

A reader is a file in ``data/readers``; its name is what a recipe calls
``data.format``. It has one function::

    read(spec: Data, root: Path) -> Raw

and decides nothing about splits, sizes or augmentation. A sample that cannot
be used becomes a `Problem`; a reader raises `DataError` only when the data as
a whole cannot be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats


@dataclass(frozen=True, slots=True)
class Problem:
    """A sample that is not used, and why."""

    file: str
    reason: str


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
    split: Literal["train", "val", ""] = ""


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
    split: Literal["train", "val", ""] = ""


@dataclass(frozen=True, slots=True, eq=False)
class Raw:
    """All that a reader found.

    Attributes:
        labels: Class names; class ids index into it.
        pictures: Samples of detectors and classifiers.
        recordings: Samples of sequence models.
        channels: Names of the sensor channels.
        problems: What was left out.
    """

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...] = ()
    recordings: tuple[Recording, ...] = ()
    channels: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Checked and split data, ready to train on.

    Attributes:
        labels: Class names; class ids index into it.
        train: Samples to train on.
        val: Samples to validate on; shares no group with ``train`` unless split by sample.
        channels: Names of the sensor channels; empty for pictures.
        rate: Readings per second; 0 for pictures.
        problems: What was left out.
        sha256: Hash over names and labels of all samples, hex, for provenance.
    """

    labels: tuple[str, ...]
    train: tuple[Picture, ...] | tuple[Recording, ...]
    val: tuple[Picture, ...] | tuple[Recording, ...]
    channels: tuple[str, ...] = ()
    rate: float = 0.0
    problems: tuple[Problem, ...] = field(default=())
    sha256: str = ""
