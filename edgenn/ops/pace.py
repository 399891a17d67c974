"""Frames at the rate that a net over video takes, from video of any other rate.

Training and the device choose with the same code. A net of 10 frames a second
gets every third one of a video of 30; of one of 5 it gets every frame twice.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# Clocks of files are rounded to milliseconds.
_ROUNDING = 1e-3


class Pace:
    """Says of every frame how many of a net's steps are its own.

    A step has the frame that is nearest to it in time. That the next one comes after
    the shorter of the last two pauses is taken for granted: a live source does not tell.

    Args:
        rate: Steps per second.
        most: Steps that one frame may have; a slower video is taken as it comes.
    """

    def __init__(self, rate: float, most: int = 8) -> None:
        self._step, self._most = 1.0 / rate, most
        self.reset()

    def reset(self) -> None:
        """Begin again with the next frame, as after a gap."""
        self._due = self._last = float("nan")
        self._pause = float("inf")

    def push(self, time: float) -> int:
        """How many steps a frame has: 0 where it is to be left out.

        Args:
            time: Seconds, not before that of the last frame.
        """
        if np.isnan(self._last):
            self._last, self._due = time, time + self._step
            return 1
        pause, self._pause = self._pause, time - self._last
        reach = time + min(pause, self._pause) / 2 + _ROUNDING
        self._last = time
        steps = 0
        while self._due <= reach:
            self._due += self._step
            steps += 1
        return min(steps, self._most)


def pick(times: Iterable[float], rate: float) -> NDArray[np.int64]:
    """Numbers of the frames that a net gets of a clip; some may come several times.

    Args:
        times: Seconds of all frames, in order.
        rate: Frames per second that the net takes.
    """
    pace = Pace(rate)
    steps = [pace.push(time) for time in times]
    return np.repeat(np.arange(len(steps)), steps)
