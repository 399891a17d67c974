"""Lists of labelled intervals: which seconds of which file show what.

A CSV file with a header: ``path`` (relative to the list), ``label``, ``start``
and ``end`` in seconds; ``group`` and ``split`` may be there too. An empty start
is the beginning, an empty end the end of the file.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgenn.data.readers._site import Site, side
from edgenn.errors import DataError
from edgenn.plugins import suggestion

# What such a list is called beside its files.
NAME = "labels.csv"


@dataclass(frozen=True, slots=True)
class Interval:
    """One line of a list.

    Attributes:
        path: The file.
        label: Class.
        start: Seconds from its beginning.
        end: Seconds; infinite for the end of the file.
        group: Person or session; may be empty.
        side: "train", "val", "test" or nothing.
        line: Number in the list, from 1.
    """

    path: Path
    label: str
    start: float
    end: float
    group: str
    side: str
    line: int


@dataclass(frozen=True, slots=True)
class Listing:
    """All lines of a list by file, and the files of which a line is faulty."""

    path: Path
    intervals: dict[Path, list[Interval]]
    faulty: frozenset[Path]


def find_list(root: Path) -> Path | None:
    """The list at ``root``, or in the folder ``root``; None where there is none."""
    path = root / NAME if root.is_dir() else root
    return path if path.suffix.lower() == ".csv" and path.is_file() and _is_list(path) else None


def read_list(site: Site, path: Path) -> Listing:
    """Read a list; every line that cannot be used becomes a problem.

    Raises:
        DataError: It cannot be read as a whole.
    """
    intervals: dict[Path, list[Interval]] = defaultdict(list)
    faulty = set()
    for line, row in _rows(path):
        file = path.parent / row["path"]
        try:
            interval = _interval(file, row, line)
            _refuse_overlap(interval, intervals[file])
            intervals[file].append(interval)
        except DataError as error:
            site.report(path, f"line {line}: {error}")
            faulty.add(file)
    return Listing(path, {f: i for f, i in intervals.items() if i}, frozenset(faulty))


def _is_list(path: Path) -> bool:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {"path", "label"} <= set(_head(file.readline())[0])
    except (OSError, UnicodeDecodeError):
        return False


def _head(line: str) -> tuple[list[str], str]:
    separator = max(",;\t", key=line.count)
    names = next(csv.reader([line], delimiter=separator), [])
    return [name.strip().lower() for name in names], separator


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            names, separator = _head(file.readline())
            reader = csv.reader(file, delimiter=separator)
            for row in reader:
                if any(row):
                    cells = [row[i].strip() if i < len(row) else "" for i in range(len(names))]
                    yield reader.line_num + 1, dict(zip(names, cells, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV: {error}") from error


def _interval(file: Path, row: dict[str, str], line: int) -> Interval:
    if not row["path"] or not file.is_file():
        there = sorted(p.name for p in file.parent.glob("*")) if file.parent.is_dir() else []
        raise DataError(f"there is no file {row['path']!r}{suggestion(file.name, there[:8])}")
    if not row["label"]:
        raise DataError("empty label")
    start = _seconds(row, "start", 0.0)
    end = _seconds(row, "end", math.inf)
    if start >= end:
        raise DataError(f"its end {end:g} is not after its start {start:g}")
    where = side([row.get("split", "")])
    return Interval(file, row["label"], start, end, row.get("group", ""), where, line)


def _seconds(row: dict[str, str], name: str, default: float) -> float:
    text = row.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if math.isnan(value) or (text and math.isinf(value)):
        raise DataError(f"its {name} {text!r} is not a number of seconds")
    return value


def _refuse_overlap(interval: Interval, others: list[Interval]) -> None:
    for other in others:
        if interval.start < other.end and other.start < interval.end:
            raise DataError(f"it overlaps with line {other.line}")
