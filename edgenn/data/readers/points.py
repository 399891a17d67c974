"""Landmarks as CSV without a header: a class number, then x, y, x, y, ... on every row.

This is how the usual hand gesture tools log MediaPipe points. What a row means
is ``data.points``:

- "time": one point at T times, oldest first, as in ``point_history.csv``; a
  recording of T readings of the channels x and y, at ``data.rate``.
- "features": P points at one time, as in ``keypoint.csv``; a recording of one
  reading of the channels x0, y0, x1, .... Its rate means nothing and is 1
  unless the recipe has another; ``input.window`` must be 1.

Class names are the lines of a file beside it, ``STEM_label.csv`` or
``STEM_classifier_label.csv``; without one they are the numbers.

Rows that follow each other are nearly copies: each is the one before, moved on
by a frame. So each run of rows of one class is cut into blocks of at least 150
rows, which are the groups (``split.by: group``), and between two blocks as many
rows are left out as share a point, at least 15. Then no row on one side of the
split is a neighbour of a row on the other.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files
from edgenn.data.readers._recordings import Stretch, finish
from edgenn.data.readers._site import Site, has_sides, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

# Rows in a group, at least; 5 s at 30 frames a second.
BLOCK = 150
_GUARD = 15
_LABELS = "label.csv"


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read CSV files of points.

    Raises:
        DataError: No file or no readable row; ``data.points`` is time and nothing tells the
            rate.
    """
    site = Site(spec, root, progress)
    found = [root] if root.is_file() else files(root, ".csv")
    paths = [path for path in found if not path.name.endswith(_LABELS)]
    if not paths:
        raise DataError(f"{root} holds no .csv file of points")
    level = int(root.is_dir() and has_sides(root))
    tick = progress("read recordings", len(paths))
    stretches: list[Stretch] = []
    names: dict[str, None] = {}
    width = 0
    for path in paths:
        try:
            table = _table(path, site, width)
            width = table.values.shape[1]
            where = side(path.relative_to(site.base).parts[:level])
            stretches += _stretches(table, site, where)
            names.update(dict.fromkeys(table.names))
        except DataError as error:
            site.report(path, str(error))
        tick()
    if not stretches:
        first = site.problems[0]
        raise DataError(f"{root}: no row can be used; {first.file}: {first.reason}")
    return finish(site, stretches, names, _channels(spec, width))


def is_points(path: Path) -> bool:
    """Whether a CSV file has no header, but a class number and pairs of numbers."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            cells = next(csv.reader([file.readline()]), [])
            numbers = [float(cell) for cell in cells]
    except (OSError, ValueError):
        return False
    return len(numbers) > 4 and len(numbers) % 2 == 1 and cells[0].strip().isdecimal()


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The good rows of a file.

    Attributes:
        path: The file.
        values: (N, 2 P) x, y, x, y, ....
        classes: (N,) class numbers.
        lines: (N,) numbers of the lines, from 1.
        names: Of the classes, by number.
    """

    path: Path
    values: NDArray[np.float64]
    classes: list[int]
    lines: list[int]
    names: Sequence[str]


def _table(path: Path, site: Site, width: int) -> _Table:
    names = _names(path)
    values, classes, lines = [], [], []
    for line, cells in _rows(path):
        width = width or len(cells) - 1
        try:
            class_id, numbers = _row(cells, width, names)
        except DataError as error:
            site.report(f"{site.name(path)}:{line}", str(error))
            continue
        values.append(numbers)
        classes.append(class_id)
        lines.append(line)
    if not values:
        raise DataError("it holds no row that can be used")
    names = names or [str(i) for i in range(max(classes) + 1)]
    return _Table(path, np.array(values), classes, lines, names)


def _names(path: Path) -> list[str]:
    """Class names in the file beside it, none where there is no such file."""
    beside = sorted(p for p in path.parent.glob(f"*{_LABELS}") if p.stem.startswith(path.stem))
    if not beside:
        return []
    try:
        lines = beside[0].read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{beside[0].name} cannot be read: {error}") from error
    names = [line.strip() for line in lines if line.strip()]
    if len(set(names)) < len(names):
        raise DataError(f"{beside[0].name} names a class twice")
    return names


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for cells in reader:
                if any(cells):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}") from error


def _row(cells: list[str], width: int, names: list[str]) -> tuple[int, list[float]]:
    if len(cells) - 1 != width or width < 2 or width % 2:
        raise DataError(f"{len(cells) - 1} coordinates; the first row has {width}, x and y each")
    if not cells[0].strip().isdecimal():
        raise DataError(f"its class {cells[0]!r} is not a number")
    class_id = int(cells[0])
    if names and class_id >= len(names):
        raise DataError(f"its class is {class_id}, but only {len(names)} have names")
    try:
        numbers = [float(cell) for cell in cells[1:]]
    except ValueError as error:
        raise DataError(f"a coordinate is not a number: {error}") from error
    if not np.isfinite(numbers).all():
        raise DataError("a coordinate is NaN or infinite")
    return class_id, numbers


def _stretches(table: _Table, site: Site, where: str) -> Iterator[Stretch]:
    spec, name = site.spec, site.name(table.path)
    in_time = spec.points == "time"
    times = table.values.shape[1] // 2 if in_time else 1
    blocks, left_out = _blocks(table.classes, max(_GUARD, times - 1))
    if left_out:
        said = f"{left_out} rows between blocks left out, which share readings with both"
        site.report(name, said, mended=True)
    group = site.group(table.path) if spec.split.group else ""
    for number, rows in enumerate(blocks):
        for i in rows:
            values = table.values[i].reshape(times, -1)
            labels = np.full(times, table.names[table.classes[i]])
            full = f"{name}:{table.lines[i]}"
            of = group or f"{name}#{number}"
            rate = 0.0 if in_time or spec.rate else 1.0
            yield Stretch(full, values, labels, None, of, where, rate, whole=True)


def _blocks(classes: Sequence[int], guard: int) -> tuple[list[range], int]:
    """Rows of every group, and how many rows between them are left out."""
    blocks, start, left_out = [], 0, 0
    for _, run in groupby(classes):
        end = start + sum(1 for _ in run)
        bounds = np.linspace(start, end, max(1, (end - start) // BLOCK) + 1).round().astype(int)
        for first, last in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            kept = last if last == end else last - guard
            blocks.append(range(first, kept))
            left_out += last - kept
        start = end
    return blocks, left_out


def _channels(spec: Data, width: int) -> list[str]:
    if spec.points == "time":
        return ["x", "y"]
    return [f"{axis}{i}" for i in range(width // 2) for axis in "xy"]
