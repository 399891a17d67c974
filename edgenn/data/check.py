"""What ``edgenn data check`` finds out: counts per class and side, and all problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgenn.data import Clip, Picture, Problem, Progress, Raw, Recording, quiet
from edgenn.data.load import bad_share, divide, drop_short, least_readings, read_raw, refuse_bad
from edgenn.errors import DataError
from edgenn.recipe.schema import Data, Recipe

Samples = Sequence[Picture] | Sequence[Recording] | Sequence[Clip]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """The state of a data set.

    Attributes:
        labels: Class names.
        channels: Names of the sensor channels; empty for pictures and clips.
        sides: Samples by side: train and val, or all where nothing divides them.
        problems: What is bad or was mended.
        bad: Number of samples that cannot be used.
        total: Number of samples with those.
        fault: Why a training would refuse the data; empty where it would not.
    """

    labels: tuple[str, ...]
    channels: tuple[str, ...]
    sides: dict[str, Samples]
    problems: tuple[Problem, ...]
    bad: int
    total: int
    fault: str = field(default="")

    def counts(self) -> dict[str, dict[str, dict[str, int]]]:
        """Side, then class, then what is counted, to how many; only classes that occur."""
        return {side: _count(samples, self.labels) for side, samples in self.sides.items()}

    def groups(self) -> dict[str, list[str]]:
        """Names of the groups of every side."""
        return {side: sorted({s.group for s in samples}) for side, samples in self.sides.items()}


def check_recipe(recipe: Recipe, root: Path, progress: Progress = quiet) -> Report:
    """Check the data of a recipe as a training would, but report in place of stopping.

    Raises:
        DataError: It cannot be read as a whole.
    """
    raw = read_raw(recipe.data, root, progress)
    if recipe.task == "sequence":
        raw = drop_short(raw, least_readings(recipe))
    try:
        refuse_bad(raw, recipe.data)
        dataset = divide(raw, recipe, root)
    except DataError as error:
        return _report(raw, _all(raw), str(error))
    return _report(raw, {"train": dataset.train, "val": dataset.val})


def check_data(spec: Data, root: Path, progress: Progress = quiet) -> Report:
    """Check data without a recipe: sides are those that the data itself names.

    Raises:
        DataError: It cannot be read as a whole.
    """
    raw = read_raw(spec, root, progress)
    fault = ""
    try:
        refuse_bad(raw, spec)
    except DataError as error:
        fault = str(error)
    samples = raw.recordings or raw.clips or raw.pictures
    val = [s for s in samples if s.split == "val"]
    if not val:
        return _report(raw, _all(raw), fault)
    train = [s for s in samples if s.split != "val"]
    return _report(raw, {"train": train, "val": val}, fault)  # type: ignore[dict-item]  # samples of one kind


def _all(raw: Raw) -> dict[str, Samples]:
    return {"all": raw.recordings or raw.clips or raw.pictures}


def _report(raw: Raw, sides: dict[str, Samples], fault: str = "") -> Report:
    bad, total = bad_share(raw)
    return Report(raw.labels, raw.channels, sides, raw.problems, bad, total, fault)


def _count(samples: Samples, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for sample in samples:
        ids, times = np.unique(sample.class_ids[sample.class_ids >= 0], return_counts=True)
        for class_id, number in zip(ids.tolist(), times.tolist(), strict=True):
            of_class = counts.setdefault(labels[class_id], {})
            for unit, amount in _units(sample, number).items():
                of_class[unit] = of_class.get(unit, 0) + amount
    return {name: counts[name] for name in labels if name in counts}


def _units(sample: Picture | Recording | Clip, number: int) -> dict[str, int]:
    if isinstance(sample, Recording):
        return {"recordings": 1, "readings": number}
    if isinstance(sample, Clip):
        return {"clips": 1, "frames": sample.frames}
    if len(sample.boxes):
        return {"pictures": 1, "boxes": number}
    return {"pictures": 1}
