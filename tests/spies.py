"""Sinks that watch what is done with them."""

from __future__ import annotations

from edgenn.runtime.sinks import Sink


class Spy(Sink):
    """Counts what happens to it, and raises what it is told to at a number."""

    def __init__(self, at=None, error=None):
        self.written, self.closed, self.at, self.error = 0, 0, at, error

    def write(self, result):
        if self.written == self.at:
            raise self.error
        self.written += 1

    def close(self):
        self.closed += 1
