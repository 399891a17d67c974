"""Replay of a sensor recording: a CSV file whose first line names the columns.

Heeds ``channels``, chosen by name, and ``rate``. Times come from a column
called time or timestamp, in seconds, or else from the rate. Separators may be
commas, semicolons or tabs.

A word where a number should be, or a line that lacks columns, stops the replay
with its line: the file is not what it seems. "nan", "inf" and empty cells are
what loggers write when a sensor failed for a moment, and a clock may be set
back while it records: all of that is delivered as it is, as a live sensor
would, and the pipeline drops and counts it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np

from edgenn import plugins
from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, Source
from edgenn.types import Samples

KIND: Kind = "window"
EXAMPLE = "--sensor recording.csv"

_TIME_COLUMNS = ("time", "timestamp")
_CHUNK = 64
_Reading = tuple[float, list[float]]


class Csv(Source):
    """An open recording; delivers 64 readings at a time.

    Attributes:
        channels: Names of the columns that are delivered.
    """

    live = False

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.fps = options.rate
        self.dropped = 0
        if not Path(name).is_file():
            raise SourceError(f"there is no sensor file at {name}")
        try:
            self._file = Path(name).open(newline="", encoding="utf-8-sig")  # noqa: SIM115  see close
            header = self._file.readline()
        except OSError as error:
            raise SourceError(f"{name} cannot be read as a CSV file: {error}") from error
        except UnicodeDecodeError as error:
            self._file.close()
            raise SourceError(f"{name} cannot be read as a CSV file: {error}") from error
        separator = max(",;\t", key=header.count)
        self._rows = csv.reader(self._file, delimiter=separator)
        names = [c.strip() for c in next(csv.reader([header], delimiter=separator), [])]
        try:
            self._time, self._channels = _columns(names, options, name)
        except SourceError:
            self.close()
            raise
        self._names = names
        self.channels = tuple(names[column] for column in self._channels)

    def __iter__(self) -> Iterator[Samples]:
        """The readings in the order of the file."""
        try:
            readings = self._readings()
            first = next(readings, None)
            if first is None:
                raise SourceError(f"{self.name} has a header but no readings")
            readings = chain([first], readings)
            index = 0
            while chunk := list(islice(readings, _CHUNK)):
                times, values = zip(*chunk, strict=True)
                yield Samples(
                    np.array(values, np.float32),
                    np.array(times, np.float64),
                    self.name,
                    index,
                    self.channels,
                )
                index += len(times)
        finally:
            self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _readings(self) -> Iterator[_Reading]:
        for count, (line, row) in enumerate(self._lines()):
            values = [self._number(row, column, line) for column in self._channels]
            column = self._time
            yield count / self.fps if column is None else self._number(row, column, line), values

    def _lines(self) -> Iterator[tuple[int, list[str]]]:
        try:
            for row in self._rows:
                if row:
                    yield self._rows.line_num + 1, row
        except (csv.Error, UnicodeDecodeError, OSError) as error:
            where = f"{self.name}, line {self._rows.line_num + 1}"
            raise SourceError(f"{where}: cannot be read as CSV: {error}") from error

    def _number(self, row: list[str], column: int, line: int) -> float:
        if column >= len(row):
            raise SourceError(f"{self.name}, line {line}: {self._names[column]} is missing")
        text = row[column].strip()
        try:
            return float(text) if text else math.nan
        except ValueError:
            raise SourceError(
                f"{self.name}, line {line}: {self._names[column]} {text!r} is not a number"
            ) from None


def open_source(name: str, options: Options) -> Csv:
    """Open a recording.

    Raises:
        SourceError: Missing, without a header, or without a column that is wanted.
    """
    return Csv(name, options)


def _columns(names: list[str], options: Options, where: str) -> tuple[int | None, list[int]]:
    if not any(names) or all(_is_number(name) for name in names):
        raise SourceError(f"{where} has no header: its first line must name the columns")
    for channel in options.channels:
        if channel not in names:
            hint = plugins.suggestion(channel, names)
            raise SourceError(f"{where} has no column {channel!r}{hint}")
    lowered = [name.lower() for name in names]
    found = [lowered.index(t) for t in _TIME_COLUMNS if t in lowered]
    free = [column for column in found if names[column] not in options.channels]
    time = free[0] if free else None
    if time is None and not options.rate:
        raise SourceError(f"{where} has no column {' or '.join(_TIME_COLUMNS)}, and no known rate")
    wanted = options.channels or [n for i, n in enumerate(names) if i != time]
    return time, [names.index(channel) for channel in wanted]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
