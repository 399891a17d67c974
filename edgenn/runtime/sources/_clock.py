"""From a device's own clock to the monotonic clock of this machine.

A reading arrives some time after it was taken: the delay of a USB port, a radio or a
busy machine, which changes from reading to reading, while the device's own times are
even. The times are therefore the device's, moved by a constant: the smallest delay that
was seen is taken for none. Clocks of microcontrollers run up to half a percent wrong, so
the constant is corrected all the time, but never by more than half a percent of the time
that passed: steps between readings stay what they were.
"""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

_log = logging.getLogger(__name__)
Times = NDArray[np.float64]

_SLEW = 0.005
_JUMP_S = 1.0
_BLOCK_S = 5.0


class DeviceClock:
    """The mapping of one stream.

    Args:
        name: Of the source, for messages.
        replays: The stream may be a recording that comes faster or slower than it was
            made. Its times then keep all pauses and may run ahead of the clock here.
            Otherwise a clock that is a second off began anew or was set.
    """

    def __init__(self, name: str, *, replays: bool = False) -> None:
        self._name, self._replays = name, replays
        self._offset = math.nan
        self._device = self._out = -math.inf  # of the newest reading
        self._debt = 0.0  # correction of the offset that is still to be made
        self._block, self._least = math.inf, math.inf

    def map(self, device: Times, arrival: float) -> Times:
        """Times on the monotonic clock, never decreasing.

        Args:
            device: (n,) seconds of readings that arrived together, in their order.
            arrival: Monotonic seconds.
        """
        steps = np.diff(device, prepend=self._device)
        new = steps < 0
        if not self._replays:
            # All came at one moment, so a step within them is no pause of the device.
            new[1:] |= steps[1:] > _JUMP_S
        starts = sorted({0, *np.flatnonzero(new).tolist()})
        out = np.empty_like(device)
        for start, end in zip(starts, [*starts[1:], len(device)], strict=True):
            out[start:end] = self._map(device[start:end], arrival, fresh=bool(new[start]))
        return out

    def _map(self, device: Times, arrival: float, *, fresh: bool) -> Times:
        late = arrival - float(device.max()) - self._offset
        if not fresh and not self._replays and late < -_JUMP_S:
            fresh = True
        if fresh or math.isnan(self._offset):
            self._begin(device, arrival)
        else:
            self._judge(late, arrival)
        span = float(device[-1]) - self._device
        step = max(-_SLEW * span, min(_SLEW * span, self._debt)) if span > 0 else 0.0
        share = (device - self._device) / span if step else np.zeros_like(device)
        out = device + self._offset + step * share
        self._offset += step
        self._debt -= step
        self._device, self._out = float(device[-1]), float(out[-1])
        return out

    def _begin(self, device: Times, arrival: float) -> None:
        if math.isfinite(self._offset):
            _log.info("%s: its clock was set or began anew", self._name)
        offset = arrival - float(device.max())
        self._offset = max(offset, self._out - float(device[0]))
        self._device = float(device[0])
        self._debt = offset - self._offset
        self._block, self._least = arrival, math.inf

    def _judge(self, late: float, arrival: float) -> None:
        """Find out by how much the mapping is wrong; ``late`` is the least delay of a batch."""
        if late < 0:
            self._debt = 0.0 if late < -_JUMP_S else late
            self._block, self._least = arrival, math.inf
            return
        self._least = min(self._least, late)
        if arrival - self._block < _BLOCK_S:
            return
        if self._least > _JUMP_S and not self._replays:
            # The device slept with its clock standing still.
            _log.info("%s: its clock stood still for %.1f s", self._name, self._least)
            self._offset += self._least
            self._debt = 0.0
        else:
            self._debt = min(self._least, _JUMP_S)
        self._block, self._least = arrival, math.inf
