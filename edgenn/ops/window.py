"""Cutting an endless stream of sensor readings into windows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgenn.errors import ModelError
from edgenn.types import Samples, Window


class Windower:
    """Collects readings and gives out overlapping windows of fixed length.

    Args:
        length: Readings per window.
        stride: Readings from the start of one window to the start of the next.
        channels: Values per reading.
    """

    def __init__(self, length: int, stride: int, channels: int) -> None:
        self._length, self._stride, self._channels = length, stride, channels
        self._values = np.empty((length, channels), np.float32)
        self._times = np.empty(length, np.float64)
        self._index = 0
        self.reset()

    def reset(self) -> None:
        """Forget all readings, as after a gap in the stream."""
        self._filled = 0

    def push(self, samples: Samples) -> Iterator[Window]:
        """Add readings; yields every window that they complete, as copies.

        Raises:
            ModelError: The readings have another number of channels.
        """
        check_channels(samples, self._channels)
        for value, time in zip(samples.values, samples.times, strict=True):
            # A stride longer than the window skips readings: _filled is then negative.
            if self._filled >= 0:
                self._values[self._filled] = value
                self._times[self._filled] = time
            self._filled += 1
            if self._filled == self._length:
                yield Window(
                    self._values.copy(),
                    float(self._times[0]),
                    float(self._times[-1]),
                    self._index,
                    samples.source,
                    samples.frame,
                )
                self._index += 1
                self._slide()

    def _slide(self) -> None:
        kept = self._length - self._stride
        if kept > 0:
            self._values[:kept] = self._values[self._stride :]
            self._times[:kept] = self._times[self._stride :]
        self._filled = kept


def check_channels(samples: Samples, channels: int) -> None:
    """Refuse readings of another number of channels.

    Raises:
        ModelError: Says how many there are.
    """
    if samples.values.shape[1:] != (channels,):
        raise ModelError(
            f"the model takes {channels} channels per reading, "
            f"{samples.source or 'the sensor'} gives {samples.values.shape[1]}"
        )


def count(readings: int, length: int, stride: int) -> int:
    """How many windows a recording of so many readings gives."""
    return max(0, (readings - length) // stride + 1)


def step_ends(readings: int, step: int) -> NDArray[np.int64]:
    """Number of the last reading of each step, when steps end with the recording."""
    return np.arange(readings % step + step - 1, readings, step)
