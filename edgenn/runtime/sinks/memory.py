"""Keeps the newest results in memory, for programs that look at them later."""

from __future__ import annotations

from collections import deque

from edgenn.runtime.sinks import Sink
from edgenn.types import Result


class MemorySink(Sink):
    """A bounded list: frames are large, and a live stream has no end.

    Attributes:
        results: The newest results, oldest first, with their frames.
    """

    inline = True

    def __init__(self, limit: int = 256) -> None:
        self.results: deque[Result] = deque(maxlen=limit)

    def write(self, result: Result) -> None:
        """Keep one more."""
        self.results.append(result)

    def close(self) -> None:
        """Nothing to finish; the results stay."""


def open_sink(target: str = "", fps: float = 0.0) -> MemorySink:
    """A sink for 256 results, or for as many as ``target`` says."""
    del fps
    return MemorySink(int(target)) if target.isdecimal() else MemorySink()
