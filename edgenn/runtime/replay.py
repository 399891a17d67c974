"""Does a recording lead to the decisions that it led to before?

Decisions are lines in the form of `edgenn.runtime.sinks.jsonl`, less what says nothing
of the model: ``latency_ms`` and ``source``. The same build of the same engine gives the
same ones to the bit, so that is what is asked for. Between processors and engines sums
are rounded differently; a tolerance in seconds then forgives a shift in time.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from edgenn.errors import UsageError
from edgenn.runtime.sinks.jsonl import to_dict
from edgenn.types import Result

Line = dict[str, Any]
_IGNORED = ("latency_ms", "source")
_SEEN = ("detections", "labels")


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as expected.

    Attributes:
        line: Number of the line in the expected file, or where that has none, in the
            replay; from 1.
        what: "line", "event" or what is seen.
        expected: In words or JSON; empty where nothing was expected.
        got: The same; empty where nothing came.
    """

    line: int
    what: str
    expected: str
    got: str


def decision(result: Result) -> Line:
    """What is compared of a result."""
    return {key: value for key, value in to_dict(result).items() if key not in _IGNORED}


def read(path: Path) -> list[Line]:
    """Lines of a file that ``edgenn run --out`` or `write` wrote.

    Raises:
        UsageError: Missing, or no such file.
    """
    lines: list[Line] = []
    try:
        texts = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; --update writes it") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text that edgenn run --out writes") from error
    for number, text in enumerate(texts, 1):
        try:
            line = json.loads(text)
        except ValueError:
            line = None
        if not isinstance(line, dict) or not _is_decision(line):
            raise UsageError(f"{path}, line {number} is none that edgenn run --out writes")
        lines.append({key: value for key, value in line.items() if key not in _IGNORED})
    return lines


def write(path: Path, lines: Iterable[Line]) -> None:
    """Write decisions, whole or not at all.

    Raises:
        OSError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text("".join(_json(line) + "\n" for line in lines), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def compare(expected: Sequence[Line], got: Sequence[Line], tolerance: float) -> list[Difference]:
    """What differs, in order of its lines.

    Args:
        expected: What should come. Lines that hold nothing but events are compared by their
            events alone.
        got: What came.
        tolerance: Seconds; 0 asks for the same lines to the bit. Otherwise events are
            right by their label where start and end differ by no more, and what is seen
            where the replay sees the same labels, each as often, within that time.
    """
    has_seen = not expected or any(key in line for line in expected for key in _SEEN)
    if has_seen and not tolerance:
        return _exact(expected, got)
    found = _events(expected, got, tolerance)
    if has_seen:
        found += _seen(expected, got, tolerance)
    return sorted(found, key=lambda difference: difference.line)


def _is_decision(line: Line) -> bool:
    times = [[event.get("start"), event.get("end")] for event in line.get("events", [])]
    if any(key in line for key in _SEEN):
        times.append([line.get("time")])
    return bool(times) and all(isinstance(time, int | float) for part in times for time in part)


def _exact(expected: Sequence[Line], got: Sequence[Line]) -> list[Difference]:
    pairs = enumerate(zip_longest(expected, got), 1)
    return [
        _difference(n, _what(want, have), want, have) for n, (want, have) in pairs if want != have
    ]


def _what(want: Line | None, have: Line | None) -> str:
    events = [(line or {}).get("events") for line in (want, have)]
    return "line" if events[0] == events[1] else "event"


def _events(expected: Sequence[Line], got: Sequence[Line], tolerance: float) -> list[Difference]:
    """Events that are missing, and such that were not expected; each counts for one."""
    wanted = _numbered(expected)
    came = _numbered(got)
    missing = []
    for number, event in wanted:
        for i, (_, other) in enumerate(came):
            if _same(event, other, tolerance):
                del came[i]
                break
        else:
            missing.append(_difference(number, "event", event, None))
    return missing + [_difference(number, "event", None, event) for number, event in came]


def _same(a: Mapping[str, Any], b: Mapping[str, Any], tolerance: float) -> bool:
    if not tolerance:
        return a == b
    times = [abs(a[key] - b[key]) <= tolerance for key in ("start", "end")]
    return bool(a["label"] == b["label"] and all(times))


def _seen(expected: Sequence[Line], got: Sequence[Line], tolerance: float) -> list[Difference]:
    """Lines of which nothing in the replay, near in time, sees the same."""
    came = sorted(((float(line["time"]), _words(line)) for line in got), key=lambda pair: pair[0])
    times = [time for time, _ in came]
    found = []
    for number, line in enumerate(expected, 1):
        time, words = float(line["time"]), _words(line)
        near = came[bisect_left(times, time - tolerance) : bisect_right(times, time + tolerance)]
        others = dict.fromkeys(seen for _, seen in near)
        if words not in others:
            found.append(Difference(number, f"at {time:g} s", words, " or ".join(others)))
    return found


def _words(line: Line) -> str:
    """How often each label is seen; of a classifier, the best one."""
    things = line.get("detections", line.get("labels", [])[:1])
    counts = Counter(thing["label"] for thing in things)
    return ", ".join(f"{n} {label}" for label, n in sorted(counts.items())) or "nothing"


def _numbered(lines: Sequence[Line]) -> list[tuple[int, Line]]:
    return [(n, event) for n, line in enumerate(lines, 1) for event in line.get("events", [])]


def _difference(number: int, what: str, want: Line | None, have: Line | None) -> Difference:
    """With only those fields that differ, where there are both."""
    if want is not None and have is not None:
        keys = [k for k in {**want, **have} if want.get(k) != have.get(k)]
        want, have = ({k: line.get(k) for k in keys} for line in (want, have))
    return Difference(number, what, _json(want), _json(have))


def _json(line: Line | None) -> str:
    if line is None:
        return ""
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))
