"""Sensor readings as CSV: a file, a folder of files, or a folder of files per label.

The first line names the columns; comma, semicolon or tab separate them. These
columns have a meaning, all others that ``data.channels`` does not leave out are
channels:

- ``data.time``, or else "time" or "timestamp": seconds. Without one the recipe
  must declare ``data.rate``. A pause of more than 2.5 intervals is a gap, at
  which the recording is cut.
- ``data.label``: class of the reading, empty where it has none. A file without
  it takes the class that ``data.label_pattern`` finds in its path, or the name
  of its folder.
- "group" or "subject": person or session, unless ``data.split.group`` finds the
  group in the path. The file is its own group where nothing says.
- "split": "train" or "val"; otherwise folders of those names say.
- "recording": a new value begins a new recording.

Where a file ``labels.csv`` lies in the folder, with the columns path, label,
start and end (and maybe group and split), it alone says what the readings are:
those from start to before end, in seconds of the time column, or since the
first reading where there is none. All others are unlabelled, or of the class
``data.background``; a recording with a faulty line in the list is then left
out, so that no gesture is taught as background.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files
from edgenn.data.readers import _intervals
from edgenn.data.readers._recordings import Stretch, finish, rate_of
from edgenn.data.readers._site import Site, has_sides, natural, side
from edgenn.errors import DataError
from edgenn.plugins import suggestion
from edgenn.recipe.schema import Data

_TIMES = ("time", "timestamp")
_GROUPS = ("group", "subject")
_MARKS = (*_GROUPS, "split", "recording")
_OF_LIST = {"group": "group", "split": "side"}


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read sensor CSV files.

    Raises:
        DataError: No file, no readable file, or neither timestamps nor a rate.
    """
    site = Site(spec, root, progress)
    paths = [root] if root.is_file() else files(root, ".csv")
    listed = _intervals.find_list(root) if root.is_dir() else None
    listing = _intervals.read_list(site, listed) if listed else None
    if listing:
        paths.remove(listing.path)
    if not paths:
        raise DataError(f"{root} holds no .csv file")
    level = int(root.is_dir() and has_sides(root))
    tick = progress("read recordings", len(paths))
    stretches: list[Stretch] = []
    channels: list[str] = list(spec.channels)
    for path in paths:
        try:
            table = _table(path)
            channels = channels or _channels(table, spec)
            folders = path.relative_to(site.base).parts[:-1]
            label = site.label(path) or (folders[-1] if len(folders) > level else "")
            if listing:
                table = _mark(table, listing, site)
            stretches += _stretches(site, table, channels, label, side(folders[:level]))
        except DataError as error:
            site.report(path, str(error))
        tick()
    if not stretches:
        first = site.problems[0]
        raise DataError(f"{root}: no file can be used; {first.file}: {first.reason}")
    found = {str(x) for stretch in stretches for x in np.unique(stretch.labels)} - {""}
    return finish(site, stretches, natural(found), channels)


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """The cells of a file as text, by column."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def marks(self) -> dict[str, list[str]]:
        """Columns that tell groups, sides and recordings, by lower-case name."""
        lower = {name.lower(): cells for name, cells in self.columns.items()}
        return {name: lower[name] for name in _MARKS if name in lower}

    def time(self, spec: Data) -> str:
        """Name of the timestamp column, or nothing."""
        if spec.time:
            if spec.time not in self.columns:
                raise DataError(f"no column {spec.time!r}{suggestion(spec.time, [*self.columns])}")
            return spec.time
        return next((name for name in self.columns if name.lower() in _TIMES), "")


def _table(path: Path) -> _Table:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head = file.readline()
            separator = max(",;\t", key=head.count)
            names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
            reader = csv.reader(file, delimiter=separator)
            rows = [(reader.line_num + 1, row) for row in reader if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}") from error
    if not rows:
        raise DataError("it holds no readings")
    if np.isfinite(_numbers(names)).any():
        raise DataError("its first line must name the columns, but holds numbers")
    if len(set(names)) < len(names):
        raise DataError("two of its columns have the same name")
    columns = {
        name: [row[i].strip() if i < len(row) else "" for _, row in rows]
        for i, name in enumerate(names)
    }
    return _Table(path, columns, [line for line, _ in rows])


def _mark(table: _Table, listing: _intervals.Listing, site: Site) -> _Table:
    """The table with the labels of a list, and its group and side where it tells them."""
    spec, size = site.spec, len(table.lines)
    if spec.background and table.path in listing.faulty:
        raise DataError(
            f"a line of {listing.path.name} about it is faulty, so its pauses are not known"
        )
    time = table.time(spec)
    if time:
        times = _numbers(table.columns[time])
    elif spec.rate:
        times = np.arange(size) / spec.rate
    else:
        raise DataError("it has no timestamps to find labels by; set data.time or data.rate")
    labels = np.full(size, "", object)
    intervals = listing.intervals.get(table.path, [])
    for interval in intervals:
        inside = (times >= interval.start) & (times < interval.end)
        if not inside.any():
            site.report(listing.path, f"line {interval.line}: no reading lies in that time")
        labels[inside] = interval.label
    columns = {**table.columns, spec.label: labels.tolist()}
    lower = {name.lower() for name in columns}
    for name in ("group", "split"):
        told = next((text for i in intervals if (text := getattr(i, _OF_LIST[name]))), "")
        if told and name not in lower:
            columns[name] = [told] * size
    return replace(table, columns=columns)


def _channels(table: _Table, spec: Data) -> list[str]:
    taken = {table.time(spec), spec.label}
    rest = [n for n in table.columns if n and n not in taken and n.lower() not in _MARKS]
    if not rest:
        raise DataError("it has no column that could be a channel")
    return rest


def _stretches(
    site: Site, table: _Table, channels: Sequence[str], label: str, where: str
) -> Iterator[Stretch]:
    spec = site.spec
    missing = [name for name in channels if name not in table.columns]
    if missing:
        raise DataError(f"no column {missing[0]!r}{suggestion(missing[0], [*table.columns])}")
    if spec.label not in table.columns and not label:
        raise DataError(f"no column {spec.label!r} and no folder that tells the class")
    time = table.time(spec)
    values = np.stack([_numbers(table.columns[name]) for name in channels], 1)
    times = _numbers(table.columns[time]) if time else None
    size = len(table.lines)
    labels = np.array(table.columns.get(spec.label) or [label] * size, np.str_)
    marks = table.marks()
    name = site.name(table.path)
    runs = list(_runs(marks, size))
    for number, run in enumerate(runs):
        first = run.start
        group = next((marks[key][first] for key in _GROUPS if key in marks), "")
        yield Stretch(
            name if len(runs) == 1 else f"{name}#{number}",
            values[run],
            labels[run],
            None if times is None else times[run],
            group if group and not spec.split.group else site.group(table.path),
            side([marks["split"][first]]) if "split" in marks else where,
            0.0 if times is None else rate_of(times[run]),
            _fault(table, channels, values, run),
        )


def _runs(marks: dict[str, list[str]], size: int) -> Iterator[slice]:
    """Stretches over which no mark changes."""
    start = 0
    rows = list(zip(*marks.values(), strict=True)) if marks else [()] * size
    for i in range(1, size + 1):
        if i == size or rows[i] != rows[start]:
            yield slice(start, i)
            start = i


def _fault(table: _Table, channels: Sequence[str], values: NDArray[np.float64], run: slice) -> str:
    rows, columns = np.nonzero(~np.isfinite(values[run]))
    if not len(rows):
        return ""
    row, name = run.start + int(rows[0]), channels[int(columns[0])]
    text = table.columns[name][row]
    return f"line {table.lines[row]}, column {name!r} holds {text!r}"


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """(n,) float64, NaN where a cell is no number."""
    try:
        return np.array(cells, np.float64)
    except ValueError:
        return np.array([_number(cell) for cell in cells], np.float64)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return float("nan")
