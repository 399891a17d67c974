"""Files at the pace of their times, as the camera or sensor delivered them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import numpy as np

from edgenn.runtime.sources import Item, Source
from edgenn.types import Frame, Samples


class Paced(Source):
    """Holds each item of a file back until its time has come; all of them are delivered.

    The first one is delivered at once. Where time goes back, as in a recording of a
    sensor whose clock was set back, the pace begins anew.

    Args:
        source: Any file source; it is closed with this one.
    """

    live = False

    def __init__(self, source: Source) -> None:
        self._source = source
        self.name, self.fps = source.name, source.fps
        self._stopped = threading.Event()
        self._start: float | None = None  # of the monotonic clock, at time 0 of the source
        self._newest = -np.inf

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """What the source counts."""
        return self._source.dropped

    @property
    def connection(self) -> int:
        """How many gaps of a recording came before the newest item."""
        return int(getattr(self._source, "connection", 0))

    def __iter__(self) -> Iterator[Item]:
        """Everything in order, at its time; ends early when stopped.

        Raises:
            SourceError: The source failed before its end.
        """
        try:
            for item in self._source:
                for part in [item] if isinstance(item, Frame) else self._single(item):
                    time = part.time if isinstance(part, Frame) else float(part.times[0])
                    if not self._wait(time):
                        return
                    yield part
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration, also while it waits; fit for signal handlers."""
        self._stopped.set()

    def close(self) -> None:
        """Close the source."""
        self._stopped.set()
        self._source.close()

    def _single(self, samples: Samples) -> Iterator[Samples]:
        for i in range(len(samples.times)):
            yield samples.cut(i, i + 1)

    def _wait(self, time: float) -> bool:
        """Wait for a time of the source; False when stopped."""
        if np.isfinite(time):
            if self._start is None or time < self._newest:
                self._start = monotonic() - time
            self._newest = time
            left = self._start + time - monotonic()
            if left > 0:
                self._stopped.wait(left)
        return not self._stopped.is_set()
