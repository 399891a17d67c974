"""From the frames of a video or camera to those that a model over video takes.

It takes so many a second, whatever the source delivers: by their times, frames that
come too early are left out, and of a slower source each frame counts for several
steps. Pauses and steps back in time cut the stream.
"""

from __future__ import annotations

import logging

from edgenn.ops.pace import Pace
from edgenn.ops.resample import GAP
from edgenn.runtime.health import Health
from edgenn.types import Frame

_log = logging.getLogger(__name__)
# Steps that one frame may stand for; a longer pause is a gap, however slow the source is.
_MOST = 8
# The source's rate is looked at over so many frames, and is too low by so much.
_LOOKED_AT, _TOO_LOW = 16, 0.8


class Filming:
    """Chooses frames by their times.

    Args:
        rate: Frames per second that the model takes.
        health: Counts where the stream is cut.
    """

    def __init__(self, rate: float, health: Health) -> None:
        self._rate, self._health = rate, health
        self._pace = Pace(rate, _MOST)
        self._last = self._usual = self._first = float("nan")
        self._count = 0

    def push(self, frame: Frame) -> tuple[bool, int]:
        """Look at the time of the next frame.

        Returns:
            Whether the stream was cut before it, and how many of the model's steps
            it is for; 0 leaves it out.
        """
        passed = frame.time - self._last
        self._last = frame.time
        cut = passed < 0 or passed > self._longest()
        if cut:
            self._health.gaps += 1
            self._pace.reset()
            self._count = 0
        else:
            self._usual = passed
        self._look(frame)
        return cut, self._pace.push(frame.time)

    def reset(self) -> None:
        """The source was opened again: what follows does not continue what came before."""
        self._last = self._usual = float("nan")
        self._pace.reset()
        self._count = 0

    def _longest(self) -> float:
        """Seconds without a frame that are still no gap, by the slower of model and source."""
        most = _MOST / self._rate
        # Before the second frame nothing is known of the source. NaN compares as false.
        if not self._usual >= 0:
            return most
        return min(most, GAP * max(1 / self._rate, self._usual))

    def _look(self, frame: Frame) -> None:
        """Say once that a source is slow."""
        if self._count == 0:
            self._first = frame.time
        if self._count == _LOOKED_AT and frame.time > self._first:
            rate = _LOOKED_AT / (frame.time - self._first)
            if rate < _TOO_LOW * self._rate:
                _log.warning(
                    "%s gives %.3g frames a second, the model was trained on %.3g: each counts "
                    "for several",
                    frame.source or "the source",
                    rate,
                    self._rate,
                )
        self._count += 1
