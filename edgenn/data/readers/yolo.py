"""YOLO: one txt file per picture, lines of class, centre x and y, width, height, as shares.

The data set is a ``data.yaml`` or the folder that has one (keys ``path``,
``train``, ``val``, ``test``, ``names``, ``nc``; folders or txt lists of pictures),
or a bare folder with ``images`` and ``labels``, or with txt files beside the
pictures. Names come from the YAML file or ``classes.txt``. Where neither is,
``data.labels`` of the recipe names the ids from 0 on and higher ids are passed
over; without that the ids themselves are the names.

Lines of a class and three or more points are polygons: their bounds are the
box. A picture without a label file is background.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import SUFFIXES, files, find
from edgenn.data.readers._pictures import Draft, finish, no_boxes
from edgenn.data.readers._site import Site, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

_YAMLS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_CLASSES = ("classes.txt", "labels/classes.txt", "obj.names")


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read a YOLO data set.

    Raises:
        DataError: No pictures, or a data.yaml that makes no sense.
    """
    config, folder = _config(root)
    site = Site(spec, root, progress)
    labelled: list[_Labelled] = []
    pictures = list(_pictures(config, folder))
    if not pictures:
        raise DataError(f"{root} holds no pictures in a YOLO layout")
    for where, path in pictures:
        label = label_file(path)
        try:
            lines = _lines(label)
        except DataError as error:
            site.report(label, str(error))
            continue
        if not lines and label.exists():
            site.report(label, "empty label: its picture is used as background", mended=True)
        labelled.append(_Labelled(path, where, lines))
    if not config:
        _report_orphans(site, {label_file(path) for _, path in pictures})
    names = _names(config, folder)
    if names is None:
        names = _guess(spec, labelled)
    else:
        labelled = _refuse_unknown(site, labelled, names)
    drafts = [_draft(entry, names) for entry in labelled]
    return finish(site, drafts, names.values())


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A picture, its side, and class and coordinates of every line of its label file."""

    path: Path
    side: str
    lines: list[tuple[int, list[float]]]


def _refuse_unknown(
    site: Site, labelled: list[_Labelled], names: Mapping[int, str]
) -> list[_Labelled]:
    good = []
    for entry in labelled:
        unknown = next((c for c, _ in entry.lines if c not in names), None)
        if unknown is None:
            good.append(entry)
            continue
        said = f"class id {unknown} is not among the {len(names)} names"
        site.report(label_file(entry.path), said)
    return good


def _draft(entry: _Labelled, names: Mapping[int, str]) -> Draft:
    kept = [(names[c], values) for c, values in entry.lines if c in names]
    boxes = np.array([_box(values) for _, values in kept]) if kept else no_boxes()
    return Draft(entry.path, [name for name, _ in kept], boxes, entry.side, shares=True)


def label_file(picture: Path) -> Path:
    """Where the labels of a picture are: in ``labels`` for ``images``, or beside it."""
    beside = picture.with_suffix(".txt")
    parts = list(picture.parts)
    if "images" not in parts or beside.is_file():
        return beside
    last = len(parts) - 1 - parts[::-1].index("images")
    parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def config_file(root: Path) -> Path | None:
    """The data.yaml that is ``root`` or lies in it."""
    if root.is_file():
        return root
    return next((root / name for name in _YAMLS if (root / name).is_file()), None)


def _config(root: Path) -> tuple[Mapping[str, Any], Path]:
    """Content of data.yaml, empty where there is none, and the folder of the pictures."""
    path = config_file(root)
    if path is None:
        return {}, root
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} is not a data.yaml: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict) or not {"train", "val", "test"} & set(config):
        raise DataError(f"{path} is not a data.yaml: it has no key train, val or test")
    stated = path.parent / str(config.get("path") or "")
    return config, stated if stated.is_dir() else path.parent


def _names(config: Mapping[str, Any], folder: Path) -> dict[int, str] | None:
    names = config.get("names")
    if names is None and config.get("nc"):
        names = range(int(config["nc"]))
    if names is None:
        path = next((folder / name for name in _CLASSES if (folder / name).is_file()), None)
        if path is None:
            return None
        names = [n.strip() for n in path.read_text(encoding="utf-8-sig").splitlines() if n.strip()]
    if isinstance(names, dict):
        return {int(i): str(name) for i, name in sorted(names.items())}
    return {i: str(name) for i, name in enumerate(names)}


def _guess(spec: Data, labelled: list[_Labelled]) -> dict[int, str]:
    """Names where the layout carries none."""
    if spec.labels and not all(name.isdigit() for name in spec.labels):
        return dict(enumerate(spec.labels))
    highest = max((c for entry in labelled for c, _ in entry.lines), default=-1)
    return {i: str(i) for i in range(highest + 1)}


def _pictures(config: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, Path]]:
    if not config:
        top = folder / "images"
        for path in find(top if top.is_dir() else folder):
            yield side(path.relative_to(folder).parts[:-1]), path
        return
    for name in ("train", "val", "test"):
        entries = config.get(name) or []
        for entry in [entries] if isinstance(entries, str) else entries:
            for path in _listed(_resolve(folder, str(entry), name)):
                yield name, path


def _resolve(folder: Path, entry: str, key: str) -> Path:
    # Exports often say ../train/images although train lies beside the data.yaml.
    for text in (entry, entry.removeprefix("../")):
        if (folder / text).exists():
            return folder / text
    raise DataError(f"data.yaml: {key} is {entry}, which is not in {folder}")


def _listed(path: Path) -> list[Path]:
    if path.is_dir():
        return find(path)
    if path.suffix.lower() in SUFFIXES:
        return [path]
    names = path.read_text(encoding="utf-8").splitlines()
    return [path.parent / name.strip() for name in names if name.strip()]


def _lines(path: Path) -> list[tuple[int, list[float]]]:
    """Class and coordinates of every line: centre and size, or points."""
    if not path.exists():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text: {error}") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) < 5 or len(cells) % 2 == 0:
            raise DataError(f"line {number} has {len(cells)} values, not a class and a box")
        try:
            found.append((int(float(cells[0])), [float(cell) for cell in cells[1:]]))
        except ValueError:
            raise DataError(f"line {number} has a value that is not a number") from None
    return found


def _box(values: list[float]) -> list[float]:
    if len(values) == 4:
        x, y, width, height = values
        return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    xs, ys = values[0::2], values[1::2]
    return [min(xs), min(ys), max(xs), max(ys)]


def _report_orphans(site: Site, known: set[Path]) -> None:
    for path in files(site.base / "labels", ".txt"):
        if path not in known and path.name != "classes.txt":
            site.report(path, "there is no picture to these labels")
