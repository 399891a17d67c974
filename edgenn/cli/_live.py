"""What a person sees of a run: a line per change, and a status on a terminal."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections import Counter
from time import monotonic

import click

from edgenn.errors import SinkError
from edgenn.runtime.health import Summary
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Detections, Frame, Prediction, Result

_WIPE = "\r\x1b[K"


class Lines(Sink):
    """Prints what is seen when that changes, for video at most once a second.

    Every picture of a folder gets its line.
    """

    label = "terminal"

    def __init__(self) -> None:
        self._shown: str | None = None
        self._due = -float("inf")

    def write(self, result: Result) -> None:
        """Print one line, or nothing."""
        item = result.item
        seen, score = describe(result.prediction)
        time = item.time if isinstance(item, Frame) else item.end
        is_picture = isinstance(item, Frame) and item.path is not None
        if not is_picture and (seen == self._shown or time < self._due):
            return
        self._shown = seen
        # A video's frames flicker; windows are seldom enough as they are.
        self._due = time + 1 if isinstance(item, Frame) else time
        where = item.path if isinstance(item, Frame) and item.path else f"{time:8.2f} s"
        try:
            click.echo(f"{where}  {seen}{score}")
        except OSError as error:
            raise _gone(error) from error

    def close(self) -> None:
        """Nothing to finish."""


class Events(Sink):
    """Prints each event when it is given out, with who it was and how many, where there is that."""

    label = "terminal"

    def write(self, result: Result) -> None:
        """Print a line per event."""
        for event in result.events:
            more = f"  #{event.track}" if event.track else ""
            more += "" if event.count is None else f"  count {event.count}"
            span = f"from {event.start:.2f} s{more}"
            if sys.stderr.isatty():
                _say(_WIPE, end=False)  # the status is on this line
            try:
                click.echo(f"{event.end:8.2f} s  {event.label}  {event.score:.2f}  {span}")
            except OSError as error:
                raise _gone(error) from error

    def close(self) -> None:
        """Nothing to finish."""


class Status(Sink):
    """One line on the terminal that is written over, four times a second."""

    inline = True

    def __init__(self) -> None:
        self._frames = 0
        self._start = monotonic()
        self._next = 0.0

    def write(self, result: Result) -> None:
        """Refresh the line when it is due."""
        self._frames += 1
        now = monotonic()
        if now < self._next:
            return
        self._next = now + 0.25
        rate = self._frames / max(now - self._start, 1e-3)
        text = f"{self._frames} done, {rate:.1f} per second, {self._seen(result.prediction)}"
        _say(f"{_WIPE}{text[:78]}", end=False)

    def _seen(self, prediction: Prediction) -> str:
        if isinstance(prediction, Detections):
            return describe(prediction)[0]
        order = (-prediction.scores).argsort()[:3]
        return "  ".join(f"{prediction.labels[i]} {prediction.scores[i]:.2f}" for i in order)

    def close(self) -> None:
        """Wipe the line."""
        if self._next:
            _say(_WIPE, end=False)
            self._next = 0.0


def _gone(error: OSError) -> Exception:
    """Whoever read standard output went away: a program, or a terminal; or it cannot be written."""
    if error.errno in (errno.EPIPE, errno.EIO):
        return Finished()
    return SinkError(f"cannot write standard output: {error.strerror}")


def describe(prediction: Prediction) -> tuple[str, str]:
    """What is seen, in words, and its score where there is one."""
    if not isinstance(prediction, Detections):
        return prediction.label, f"  {prediction.score:.2f}"
    counts = Counter(prediction.name(i) for i in range(len(prediction)))
    seen = ", ".join(f"{n} {label}" for label, n in sorted(counts.items()))
    return seen or "nothing", ""


def echo_summary(summary: Summary, what: str) -> None:
    """Print a run in numbers to standard error."""
    plural = "s" if summary.frames != 1 else ""
    _say(
        f"{summary.frames} {what}{plural} in {summary.seconds:.1f} s "
        f"({summary.fps:.1f} per second), {summary.dropped} dropped",
    )
    if summary.bad or summary.gaps:
        _say(f"bad readings dropped: {summary.bad}, gaps in the stream: {summary.gaps}")
    if summary.reconnects:
        _say(f"the source failed and came back: {summary.reconnects}")
    if summary.carried:
        _say(f"nothing moved, so what was found is carried on: {summary.carried}")
    if summary.latency_ms:
        stages = ", ".join(
            f"{stage} {p50:.2f}/{p95:.2f}/{p99:.2f}"
            for stage, (p50, p95, p99) in summary.latency_ms.items()
        )
        _say(f"latency p50/p95/p99 in ms: {stages}")
    for name, ((p50, p95, p99), dropped, failed) in summary.sinks.items():
        lost = f", {dropped} dropped, {failed} failed" if dropped or failed else ""
        if p50:
            _say(f"from capture to {name}: {p50:.2f}/{p95:.2f}/{p99:.2f}{lost}")


def _say(text: str, *, end: bool = True) -> None:
    """To standard error; a terminal that is gone must not end the run."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True, nl=end)
