"""Sensor readings as numpy arrays in one .npz file, or in a folder of them.

===========  ==============================================================
values       (N, T, C) windows that stand alone, or (total, C) readings
recording    (total,) integers 0, 1, ... for readings: which recording each
             belongs to; absent where all are one recording
y            class per window, per recording or per reading: integers that
             index ``labels``, -1 where unlabelled; or the names themselves;
             may be absent where ``data.label_pattern`` finds it in the path
labels       (K,) names; absent where ``y`` holds names
group        person or session per window, recording or reading; may be absent
split        "train" or "val", the same way; may be absent
rate         readings per second; absent where the recipe has ``data.rate``
channels     (C,) names; absent: c0, c1, ...
===========  ==============================================================

Pickled objects are never loaded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files
from edgenn.data.readers._recordings import Stretch, finish
from edgenn.data.readers._site import Site, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

Arrays = Mapping[str, NDArray[Any]]


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read npz files.

    Raises:
        DataError: No file, or one whose arrays do not fit together.
    """
    site = Site(spec, root, progress)
    paths = [root] if root.is_file() else files(root, ".npz")
    if not paths:
        raise DataError(f"{root} holds no .npz file")
    tick = progress("read recordings", len(paths))
    stretches: list[Stretch] = []
    found: dict[str, None] = {}
    channels: list[str] = []
    for path in paths:
        arrays = _load(path)
        try:
            arrays = _labelled(arrays, site, path)
            channels = _channels(arrays, channels)
            where = side([path.stem]) if len(paths) > 1 else ""
            stretches += _stretches(site, path, arrays, where)
            found.update(dict.fromkeys(_names(arrays)))
        except DataError as error:
            raise DataError(f"{path}: {error}") from error
        tick()
    return finish(site, stretches, found, channels)


def _load(path: Path) -> Arrays:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"{path} is not an npz file of plain arrays: {error}") from error
    if "values" not in arrays:
        raise DataError(f"{path} has no array 'values'; see edgenn.data.readers.npz")
    if arrays["values"].ndim not in (2, 3) or arrays["values"].dtype.kind not in "fiu":
        raise DataError(f"{path}: values must be numbers of shape (N, T, C) or (total, C)")
    return arrays


def _labelled(arrays: Arrays, site: Site, path: Path) -> Arrays:
    if "y" in arrays:
        return arrays
    label = site.label(path)
    if not label:
        raise DataError("it has no array 'y'; see edgenn.data.readers.npz")
    return {**arrays, "y": np.full(len(arrays["values"]), label)}


def _channels(arrays: Arrays, others: list[str]) -> list[str]:
    count = arrays["values"].shape[-1]
    names = [str(x) for x in arrays.get("channels", [f"c{i}" for i in range(count)])]
    if len(names) != count:
        raise DataError(f"it has {count} channels but {len(names)} names for them")
    if others and names != others:
        raise DataError(f"its channels are {names}, those of the other files {others}")
    return names


def _names(arrays: Arrays) -> list[str]:
    if "labels" in arrays:
        return [str(x) for x in arrays["labels"]]
    return [str(x) for x in np.unique(arrays["y"]) if str(x) not in ("", "-1")]


def _stretches(site: Site, path: Path, arrays: Arrays, where: str) -> Iterator[Stretch]:
    values = arrays["values"].astype(np.float64)
    windows = values.ndim == 3
    parts = _parts(arrays, values)
    labels = _classes(arrays)
    name, file_group = site.name(path), site.group(path)
    for number, part in enumerate(parts):
        of = _Lookup(number, part, len(parts), len(values))
        data = values[number] if windows else values[part]
        label = of("y", labels)
        group = str(of("group", arrays["group"])[0]) if "group" in arrays else ""
        sided = side([str(of("split", arrays["split"])[0])]) if "split" in arrays else where
        full = name if len(parts) == 1 else f"{name}#{number}"
        yield Stretch(
            full,
            data,
            np.broadcast_to(label, len(data)) if len(label) == 1 else label,
            None,
            group or (file_group if site.spec.split.group else full),
            sided,
            float(arrays.get("rate", np.float64(0))),
            whole=windows,
        )


def _parts(arrays: Arrays, values: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Rows of every recording, or of every window just its number."""
    if values.ndim == 3:
        return [np.array([i]) for i in range(len(values))]
    recording = arrays.get("recording", np.zeros(len(values), np.int64))
    if recording.shape != (len(values),) or recording.dtype.kind not in "iu":
        raise DataError("'recording' must be one integer per reading")
    return [np.flatnonzero(recording == i) for i in range(int(recording.max(initial=-1)) + 1)]


def _classes(arrays: Arrays) -> NDArray[np.str_]:
    y = arrays["y"]
    if y.dtype.kind in "US":
        return np.asarray(y, np.str_)
    if y.dtype.kind not in "iu":
        raise DataError("'y' must hold integers or names")
    names = np.array([*_names(arrays), ""], np.str_)
    if "labels" not in arrays:
        return np.where(y < 0, "", y.astype(np.str_))
    if y.size and (y.max() >= len(names) - 1 or y.min() < -1):
        raise DataError(f"'y' holds {y.max()} or {y.min()}, but there are {len(names) - 1} labels")
    return np.asarray(names[y])


class _Lookup:
    """Picks a part's entries of an array that has one per part or one per reading."""

    def __init__(self, number: int, part: NDArray[np.int64], parts: int, total: int) -> None:
        self._number, self._part, self._parts, self._total = number, part, parts, total

    def __call__(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        if len(array) == self._parts:
            return array[self._number : self._number + 1]
        if len(array) == self._total:
            return array[self._part]
        raise DataError(
            f"{name!r} has {len(array)} entries; it needs {self._parts}, one per recording, "
            f"or {self._total}, one per reading"
        )
