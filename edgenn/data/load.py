"""From a recipe to a checked, split data set."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgenn import plugins
from edgenn.data import Dataset, Problem, Progress, Raw, Samples, quiet, readers, videos
from edgenn.data.images import SUFFIXES, files
from edgenn.data.readers.coco import is_coco
from edgenn.data.readers.points import is_points
from edgenn.data.readers.yolo import config_file
from edgenn.data.split import split
from edgenn.errors import DataError
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Data, Recipe

_log = logging.getLogger(__name__)
# Fewer readings are no gesture.
_LEAST = 8


def load_dataset(recipe: Recipe, data: Path | None = None, progress: Progress = quiet) -> Dataset:
    """Read, check and split the data of a recipe.

    Every picture is decoded once, in parallel, to find the damaged ones.

    Args:
        recipe: How one model is made.
        data: Used in place of ``data.path``.
        progress: Told of every sample that is checked.

    Returns:
        What can be used; what cannot is among its problems.

    Raises:
        DataError: Missing, unreadable, too bad to train on, or one side of the
            split would be empty.
        RecipeError: A path with a variable that is not set.
    """
    root = expand(recipe.data.path, "data.path") if data is None else data
    dataset = divide(read_good(recipe, root, progress), recipe, root)
    for path in recipe.data.more:
        more = expand(path, "data.more")
        dataset = _with_more(dataset, read_good(recipe, more, progress), more)
    return dataset


def _with_more(dataset: Dataset, raw: Raw, root: Path) -> Dataset:
    """Add what was read to the training side.

    Raises:
        DataError: It has other classes or channels.
    """
    if (raw.labels, raw.channels) != (dataset.labels, dataset.channels):
        raise DataError(
            f"data.more: {root} has the classes {', '.join(raw.labels)}, but the data has "
            f"{', '.join(dataset.labels)}; set data.labels to those that both have"
        )
    return replace(
        dataset,
        train=(*dataset.train, *raw.pictures, *raw.recordings, *raw.clips),
        problems=dataset.problems + raw.problems,
        sha256=hashlib.sha256((dataset.sha256 + _hash(raw, root)).encode()).hexdigest(),
    )


def read_good(recipe: Recipe, root: Path, progress: Progress = quiet) -> Raw:
    """Read data and leave out what is bad, saying so.

    Raises:
        DataError: Missing, unreadable, or too bad.
    """
    raw = read_raw(recipe.data, root, progress)
    if recipe.task == "sequence":
        raw = drop_short(raw, least_readings(recipe))
    refuse_bad(raw, recipe.data)
    bad, total = bad_share(raw)
    if bad:
        _log.warning("%d of %d samples are bad and left out%s", bad, total, _first(raw))
    return raw


def read_raw(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read data in the layout of ``spec``, wherever it lies.

    Raises:
        DataError: There is nothing, or it cannot be read as a whole.
    """
    if not root.exists():
        raise DataError(f"there is no data at {root}; set data.path in the recipe or use --data")
    raw: Raw = plugins.load(readers, spec.format).read(spec, root, progress)
    return raw


def least_readings(recipe: Recipe) -> int:
    """How many readings a recording must have."""
    return recipe.input.window if recipe.input.sample == "window" else _LEAST


def drop_short(raw: Raw, least: int) -> Raw:
    """Leave out recordings of fewer readings than ``least``."""
    short = [r for r in raw.recordings if len(r.values) < least]
    problems = tuple(
        Problem(r.name, f"too short: {len(r.values)} readings, at least {least} are wanted")
        for r in short
    )
    kept = tuple(r for r in raw.recordings if len(r.values) >= least)
    return replace(raw, recordings=kept, problems=raw.problems + problems)


def bad_share(raw: Raw) -> tuple[int, int]:
    """How many samples are bad, and how many there are with them."""
    bad = sum(not problem.mended for problem in raw.problems)
    return bad, bad + len(raw.pictures) + len(raw.recordings) + len(raw.clips)


def refuse_bad(raw: Raw, spec: Data) -> None:
    """Stop where too much is bad.

    Raises:
        DataError: More than ``max_bad`` of the samples are bad, or all.
    """
    bad, total = bad_share(raw)
    if bad == total:
        raise DataError(f"no sample can be used{_first(raw)}")
    if bad > spec.max_bad * total:
        raise DataError(
            f"{bad} of {total} samples are bad, more than data.max_bad = {spec.max_bad:g} allows"
            f"{_first(raw)}; 'edgenn data check' lists them all"
        )


def _first(raw: Raw) -> str:
    problem = next((problem for problem in raw.problems if not problem.mended), None)
    return f"; the first is {problem.file}: {problem.reason}" if problem else ""


def divide(raw: Raw, recipe: Recipe, root: Path) -> Dataset:
    """Split what was read.

    Raises:
        DataError: One side would be empty.
    """
    spec, classes = recipe.data.split, len(raw.labels)
    train: Samples
    val: Samples
    if raw.recordings:
        train, val = split(raw.recordings, spec, recipe.seed, classes)
    elif raw.clips:
        train, val = split(raw.clips, spec, recipe.seed, classes)
    else:
        train, val = split(raw.pictures, spec, recipe.seed, classes)
    return Dataset(
        raw.labels,
        train,
        val,
        channels=raw.channels,
        rate=raw.recordings[0].rate if raw.recordings else 0.0,
        problems=raw.problems,
        sha256=_hash(raw, root),
    )


def guess_format(path: Path) -> str:
    """Which reader fits what lies at ``path``.

    Raises:
        DataError: Nothing there, or none of the known layouts.
    """
    if not path.exists():
        raise DataError(f"there is no data at {path}")
    found = _guess_file(path) if path.is_file() else _guess_folder(path)
    if found is None:
        formats = ", ".join(plugins.names(readers))
        raise DataError(f"{path} is no layout that edgenn knows; name it with --format: {formats}")
    return found


def _guess_file(path: Path) -> str | None:
    suffix = path.suffix.lower()
    if suffix in videos.SUFFIXES:
        return "clips"
    if suffix == ".csv":
        return "points" if is_points(path) else "csv"
    known = {".yaml": "yolo", ".yml": "yolo", ".json": "coco", ".npz": "npz", ".mat": "mat"}
    return known.get(suffix)


def _guess_folder(path: Path) -> str | None:
    if config_file(path):
        return "yolo"
    found = files(path)
    suffixes = {file.suffix.lower() for file in found}
    pictures = suffixes & SUFFIXES
    texts = {file.with_suffix("").name for file in found if file.suffix == ".txt"}
    stems = {file.stem for file in found if file.suffix.lower() in SUFFIXES}
    guesses = {
        "coco": pictures and any(is_coco(file) for file in found if file.suffix == ".json"),
        "voc": pictures and ".xml" in suffixes,
        "yolo": pictures and bool(texts & stems),
        "imagefolder": pictures,
        "clips": suffixes & videos.SUFFIXES,
        "npz": ".npz" in suffixes,
        "mat": ".mat" in suffixes,
        "points": any(is_points(file) for file in found if file.suffix.lower() == ".csv"),
        "csv": ".csv" in suffixes,
    }
    return next((name for name, fits in guesses.items() if fits), None)


def _hash(raw: Raw, root: Path) -> str:
    """Over names and labels of all samples and over readings, wherever the data lies."""
    digest = hashlib.sha256(json.dumps([raw.labels, raw.channels]).encode())
    for name, parts in sorted(_entries(raw, root)):
        digest.update(name.encode())
        for part in parts:
            digest.update(part)
    return digest.hexdigest()


def _entries(raw: Raw, root: Path) -> Iterable[tuple[str, tuple[bytes, bytes]]]:
    for picture in raw.pictures:
        name = Path(os.path.relpath(picture.path, root)).as_posix()
        yield name, (picture.class_ids.tobytes(), picture.boxes.tobytes())
    for recording in raw.recordings:
        yield recording.name, (recording.class_ids.tobytes(), recording.values.tobytes())
    for clip in raw.clips:
        name = Path(os.path.relpath(clip.path, root)).as_posix()
        span = np.array([clip.start, clip.end])
        yield f"{name}@{clip.start:g}", (clip.class_ids.tobytes(), span.tobytes())
