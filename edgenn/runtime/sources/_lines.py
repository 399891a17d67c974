"""Lines of text as microcontrollers send them: bytes in, readings out.

A line is numbers with commas, semicolons, tabs or spaces between them, a JSON array of
numbers, or a JSON object with a number per channel; its first character tells which. A
line of names is a header, from then on or until the next one. A column or key ``time`` or
``timestamp`` holds the device's time in seconds, with ``_ms``, ``_us`` or ``_ns`` at its
end in these units: see `edgenn.runtime.sources._clock`. Without it a reading has the time
at which it arrived.

What is no reading is dropped and counted: noise, halves of lines, messages of a boot
loader. Where nothing else comes, that is a failure. "nan" and empty cells are what a
sensor gives that failed for a moment; they are delivered.
"""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Sequence

import numpy as np

from edgenn.errors import SourceError, UnfitSourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources._clock import DeviceClock, Times
from edgenn.types import Samples

_log = logging.getLogger(__name__)
_LONGEST = 4096
_PATIENCE_S = 10.0
# Lines in a row that have no room for what the model wants: it will not come any more.
_SURE = 20
_QUOTED = 60
_UNITS = {"": 1.0, "_s": 1.0, "_ms": 1e-3, "_us": 1e-6, "_ns": 1e-9}
_TIME = re.compile(r"(?:time|timestamp)(|_s|_ms|_us|_ns)", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d][^\x00-\x1f,;:{}\[\]\"]{0,39}")
# A device that is opened again goes on without repeating its header.
_headers: dict[str, list[str]] = {}

_Reading = tuple[float | None, list[float]]


class Lines:
    """One stream of lines.

    Args:
        name: Of the source, for messages.
        options: ``channels`` are chosen by name, or by position where there are no
            names; ``rate`` spreads readings that arrive together.
        columns: Names, for a stream without a header.
        partial: The stream may begin in the middle of a line.
        replays: See `DeviceClock`.
        key: What remembers the header until the source is opened again; its name if "".

    Attributes:
        dropped: Lines that were no readings.
        index: Readings so far.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        *,
        columns: Sequence[str] = (),
        partial: bool = False,
        replays: bool = False,
        key: str = "",
    ) -> None:
        self.dropped = self.index = 0
        self._name, self._channels, self._rate = name, options.channels, options.rate
        self._key = key or name
        self._clock = DeviceClock(name, replays=replays)
        self._rest = b""
        self._skips = False  # to the end of a line that is too long
        self._is_partial = partial
        self._header = list(columns) or _headers.get(self._key, [])
        self._candidate: list[str] = []  # a header, if numbers follow it
        self._width = 0
        self._bad = b""  # the last line that was no reading
        self._lacks, self._row = "", 0  # why, and how many in a row
        self._good = self._newest = -math.inf  # monotonic seconds of the last good one

    def push(self, data: bytes, now: float) -> Samples | None:
        """Add what arrived at ``now``, monotonic seconds; None where no reading is complete.

        Raises:
            UnfitSourceError: The stream does not hold the channels.
            SourceError: It holds only garbage for 10 s.
        """
        if self._good < 0:
            self._good = now
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + data)
        if lines and self._skips:
            del lines[0]
            self._skips = False
        if len(self._rest) > _LONGEST:
            self._reject(self._rest)
            self._rest, self._skips = b"", True
        elif self._skips:
            self._rest = b""
        found = [reading for line in lines if (reading := self._parse(line)) is not None]
        if found:
            return self._samples(found, now)
        if (self._row >= _SURE or now - self._good > _PATIENCE_S) and self._came():
            raise self._complaint()
        return None

    def end(self, now: float) -> Samples | None:
        """The stream is over: what its last line holds, where its end is missing.

        Raises:
            SourceError: There was not one reading, but something else.
        """
        found = self.push(b"\n", now)
        if not self.index and self._came():
            raise self._complaint()
        return found

    def _came(self) -> bool:
        """Whether there was something that is no reading."""
        return bool(self._bad or self._candidate)

    def _complaint(self) -> SourceError:
        if self._lacks:
            return UnfitSourceError(self._lacks)
        last = ",".join(self._candidate).encode() or self._bad
        quoted = last[:_QUOTED].decode("ascii", "backslashreplace")
        more = "..." if len(last) > _QUOTED else ""
        return SourceError(f"{self._name} delivers no readings, but lines as {quoted!r}{more}")

    def _samples(self, found: list[_Reading], now: float) -> Samples:
        self._good, self._row, self._lacks = now, 0, ""
        times, values = zip(*found, strict=True)
        if None in times:
            mapped = self._spread(len(times), now)
        else:
            mapped = self._clock.map(np.array(times, np.float64), now)
        self._newest = float(mapped[-1])
        names = self._channels or tuple(n for n in self._header if not _TIME.fullmatch(n))
        labels = names if len(names) == len(values[0]) else ()
        out = Samples(np.array(values, np.float32), mapped, self._name, self.index, labels)
        self.index += len(times)
        return out

    def _spread(self, count: int, now: float) -> Times:
        """Arrival times; of readings that came together, all but the last were taken before."""
        step = min(1 / self._rate, max(0.0, now - self._newest) / count) if self._rate else 0.0
        return now - step * np.arange(count - 1, -1, -1, dtype=np.float64)

    def _parse(self, line: bytes) -> _Reading | None:
        text = line.strip(b" \t").removeprefix(b"\xef\xbb\xbf")
        is_first, self._is_partial = self._is_partial, False
        if not text:
            return None
        try:
            return self._read(text.decode("utf-8"), is_first=is_first)
        except (ValueError, RecursionError):
            if not is_first:
                self._reject(text)
            return None

    def _reject(self, line: bytes) -> None:
        self.dropped += 1
        self._bad = line[: _QUOTED + 1]
        if self.dropped == 1:
            _log.warning("%s: a line is no reading; such are dropped and counted", self._name)

    def _read(self, text: str, *, is_first: bool) -> _Reading | None:
        """A reading, or None for a header; ValueError where it is neither."""
        if len(text) > _LONGEST:
            raise ValueError("too long")
        if text[0] == "{":
            return self._object(json.loads(text, parse_int=float))
        if text[0] == "[":
            return self._numbers([_value(v) for v in json.loads(text, parse_int=float)])
        separator = max(",;\t", key=text.count)
        cells = [c.strip() for c in (text.split(separator) if separator in text else text.split())]
        cells = [cell or "nan" for cell in cells]
        if all(_is_number(cell) for cell in cells):
            # Of a first line that is only an end, nobody could tell.
            return None if is_first else self._numbers([float(cell) for cell in cells])
        if len(set(cells)) < len(cells) or not all(_NAME.fullmatch(cell) for cell in cells):
            raise ValueError("neither numbers nor names")
        self.dropped += bool(self._candidate) and self._candidate != cells
        self._candidate = cells
        if self._channels and set(self._channels) <= set(cells):
            self._take_header()
        return None

    def _take_header(self) -> None:
        self._header, self._candidate = self._candidate, []
        _headers[self._key] = self._header

    def _numbers(self, row: list[float]) -> _Reading:
        """A line of numbers by the header or, without one, by position."""
        if self._candidate:
            if len(self._candidate) == len(row):
                self._take_header()
            else:
                self.dropped += 1
                self._candidate = []
        if self._header:
            if len(row) != len(self._header):
                raise ValueError("another number of columns")
            return self._choose(dict(zip(self._header, row, strict=True)))
        self._width = len(self._channels) or self._width or len(row)
        if len(row) != self._width:
            if self._channels:
                self._lack(
                    f"{self._name} sends {len(row)} numbers a line without a header, wanted are "
                    f"{self._width}: {', '.join(self._channels)}; let it name its columns first"
                )
            raise ValueError("another number of columns")
        return None, row

    def _object(self, found: dict[str, object]) -> _Reading:
        return self._choose({k: _value(v) for k, v in found.items() if _is_value(v)})

    def _choose(self, found: dict[str, float]) -> _Reading:
        """A reading from values by name."""
        times = [n for n in found if _TIME.fullmatch(n) and n not in self._channels]
        if not self._channels:
            # Without a model, the first line says what all have.
            self._channels = tuple(n for n in found if n not in times)
        for channel in self._channels:
            if channel not in found:
                there = ", ".join(list(found)[:20]) or "nothing"
                self._lack(f"{self._name} has no channel {channel!r}; there is {there}")
                raise ValueError("a channel is missing")
        time = None
        if times:
            unit = _TIME.fullmatch(times[0])
            time = found[times[0]] * _UNITS[unit[1].lower() if unit else ""]
            if not math.isfinite(time):
                raise ValueError("no time")
        return time, [found[channel] for channel in self._channels]

    def _lack(self, why: str) -> None:
        self._lacks = why
        self._row += 1


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _is_value(value: object) -> bool:
    return value is None or (isinstance(value, float) and not isinstance(value, bool))


def _value(value: object) -> float:
    if value is None:
        return math.nan
    if not isinstance(value, float):
        raise ValueError("no number")  # noqa: TRY004  one error for all that is no reading
    return value
