"""Sensors that are asked for each reading, on a steady schedule."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime.sources import Source
from edgenn.types import Samples

G = 9.80665
# Names that models and data sheets give to the axes, by the name that is told to users.
ALIASES = {
    "ax": ("accel_x", "acc_x"),
    "ay": ("accel_y", "acc_y"),
    "az": ("accel_z", "acc_z"),
    "wx": ("gx", "gyro_x", "anglvel_x"),
    "wy": ("gy", "gyro_y", "anglvel_y"),
    "wz": ("gz", "gyro_z", "anglvel_z"),
    "mx": ("magn_x", "mag_x"),
    "my": ("magn_y", "mag_y"),
    "mz": ("magn_z", "mag_z"),
    "temp": ("temperature",),
}
_BATCH_S = 0.01
_MOST_FAILURES = 10


def select(wanted: tuple[str, ...], there: list[str], name: str) -> list[str]:
    """Which of a sensor's channels are meant, in the order wanted; all where none is.

    Raises:
        SourceError: One is not there; the message names those that are.
    """
    common = {alias: key for key, names in ALIASES.items() for alias in (key, *names)}
    known = {common.get(channel, channel): channel for channel in reversed(there)}
    chosen = []
    for channel in wanted or there:
        found = channel if channel in there else known.get(common.get(channel, channel))
        if found is None:
            raise SourceError(f"{name} has no channel {channel!r}; there is {', '.join(there)}")
        chosen.append(found)
    return chosen


class Polled(Source):
    """A live source whose readings are taken one by one.

    Readings that could not be taken in time, or failed, are counted as dropped; ten
    failures in a row are the end. A subclass has `_read` and `_release`.

    Args:
        name: Fit to show.
        rate: Readings per second.
        channels: Names of the values.
    """

    live = True

    def __init__(self, name: str, rate: float, channels: tuple[str, ...]) -> None:
        self.name, self.fps = name, rate
        self.dropped = 0
        self._labels = channels
        self._closed = threading.Event()
        self._in_use = threading.Lock()

    def _read(self) -> list[float]:
        """Take one reading.

        Raises:
            OSError: It failed.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """Close what is open; called once."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Samples]:
        """Readings of 10 ms at a time, one at least; times of the monotonic clock."""
        start, number, index, failures = monotonic(), 0, 0, 0
        most = max(1, int(self.fps * _BATCH_S))
        batch: list[tuple[float, list[float]]] = []
        try:
            while not self._closed.wait(max(0.0, start + number / self.fps - monotonic())):
                late = int((monotonic() - start) * self.fps) - number
                number += 1
                if late > 0:
                    self.dropped += late
                    number += late
                try:
                    batch.append(self._timed())
                    failures = 0
                except OSError as error:
                    self.dropped += 1
                    failures += 1
                    if failures >= _MOST_FAILURES:
                        raise SourceError(
                            f"{self.name} does not answer any more: {error.strerror or error}"
                        ) from error
                if len(batch) >= most:
                    times, values = zip(*batch, strict=True)
                    batch = []
                    yield Samples(
                        np.array(values, np.float32),
                        np.array(times, np.float64),
                        self.name,
                        index,
                        self._labels,
                    )
                    index += len(times)
        finally:
            self.close()

    def close(self) -> None:
        """Release the device; from any thread, and again."""
        with self._in_use:
            if not self._closed.is_set():
                self._closed.set()
                self._release()

    def _timed(self) -> tuple[float, list[float]]:
        with self._in_use:
            time = monotonic()
            if self._closed.is_set():
                return time, [float("nan")] * len(self._labels)
            return time, self._read()
