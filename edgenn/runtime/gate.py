"""Says which frames of a film are worth inference: those in which something moves.

A small grey picture is compared, cell by cell, with the last one that was inferred and with a
background that adapts slowly. The first keeps every change until it is large enough, so that a
slow object cannot creep through; the second has less noise. What counts as a change is learned
from the scene: a sigma-delta estimate follows the noise of each cell, as in Manzanera and
Richefeu, "A new motion detection algorithm based on sigma-delta background estimation" (Pattern
Recognition Letters 28, 2007). A change of brightness of the whole picture is taken out as a gain.

The gate knows frames and their times only, no clock and no predictions, so that a recording gives
the same decisions each time.
"""

from __future__ import annotations

import cv2
import numpy as np

from edgenn.types import Floats, Frame

_CELLS = 128  # across the longer side, about
_LEARNING = 8  # frames
_FLOOR, _CEILING = 0.3, 2.5  # grey levels of noise; above, it is no noise of a camera
_UP, _DOWN = 1.06, 0.98  # steps in balance where a quarter of the differences is larger
_QUARTILE = 0.75
_KNOWN, _BACKGROUND = 5.5, 4.5  # differences that count, in such quartiles
_SETTLE_S = 2.0  # time constant of the background
_GAIN = (0.8, 1.25)  # a step of brightness beyond it is a change worth looking at
_BURST, _BURST_DECAY = 2.0, 0.98
_STEP = 0.5  # part of the cells; when more differ from the background, it begins anew


class MotionGate:
    """Decides frame by frame whether inference is needed.

    An object that stops is not looked at again before the next refresh: whoever leaves
    inference out carries on what was last found, which still holds then.

    Args:
        hold: Seconds for which inference goes on after the last motion.
        refresh: Longest time in seconds from one inference to the next.
        sensitivity: Above 1 finds fainter motion, at the price of more inferences
            for noise.

    Attributes:
        moving: Whether the newest frame had motion; False for a hold or a refresh.
    """

    _new: Floats
    _old: Floats
    _known: Floats

    def __init__(
        self, *, hold: float = 1.0, refresh: float = 10.0, sensitivity: float = 1.0
    ) -> None:
        self._hold, self._refresh, self._sensitivity = hold, refresh, sensitivity
        self._shape: tuple[int, ...] = ()
        self.reset()

    def reset(self) -> None:
        """Forget the scene, as at the beginning of a stream."""
        self.moving = False
        self._frames = 0
        self._time = self._inferred = self._moved = 0.0
        self._burst = 1.0

    def push(self, frame: Frame) -> bool:
        """Look at the next frame.

        Args:
            frame: Frames in the order of the film. One of another size, or from before the
                last one, begins anew.

        Returns:
            True where inference is needed; the gate takes it that it is done then.
        """
        now = frame.time
        if frame.image.shape != self._shape:
            self._allocate(frame.image.shape)
            self.reset()
        elif now < self._time:
            self.reset()
        elapsed, self._time = now - self._time, now
        self._shrink(frame)
        if self._frames < _LEARNING:
            self._learn()
            self._moved = now
        else:
            self.moving = self._compare()
            self._follow(elapsed)
            if self.moving:
                self._moved = now
        self._frames += 1
        needed = now - self._moved <= self._hold or now - self._inferred >= self._refresh
        if needed:
            self._inferred = now
            np.copyto(self._known, self._new)
        self._old, self._new = self._new, self._old
        return needed

    def _allocate(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        height, width = shape[:2]
        self._every = max(1, max(height, width) // (2 * _CELLS))
        rows, cols = (max(1, side // (2 * self._every)) for side in (height, width))
        self._samples = np.empty((2 * rows, 2 * cols), np.float32)

        def cells() -> Floats:
            return np.zeros((rows, cols), np.float32)

        self._new, self._old, self._known = cells(), cells(), cells()
        self._small, self._background = cells(), cells()
        self._noise, self._limit = cells(), cells()
        self._change, self._excess = cells(), cells()
        self._louder = np.empty((rows, cols), np.bool_)

    def _shrink(self, frame: Frame) -> None:
        """The picture in cells of about 6 pixels at 768 x 576, slightly blurred, in _new."""
        # Green has most of the brightness and least of the noise; a part of the pixels is enough.
        taken = frame.image[:: self._every, :: self._every, 1]
        rows, cols = self._samples.shape
        np.copyto(self._samples[: len(taken)], taken[:rows, :cols])
        cv2.resize(self._samples, (cols // 2, rows // 2), self._small, 0, 0, cv2.INTER_AREA)
        cv2.blur(self._small, (3, 3), self._new)

    def _learn(self) -> None:
        """The first frames: all that differs between them counts as noise, up to a bound."""
        if self._frames == 0:
            np.copyto(self._background, self._new)
            self._noise.fill(_FLOOR)
            return
        cv2.absdiff(self._new, self._old, self._change)
        np.clip(self._change, _FLOOR, _CEILING, out=self._change)
        if self._frames == 1:
            np.copyto(self._noise, self._change)
        cv2.accumulateWeighted(self._change, self._noise, 1 / self._frames)
        cv2.accumulateWeighted(self._new, self._background, 1 / (self._frames + 1))

    def _compare(self) -> bool:
        """Whether the picture differs from what is known, or from the background."""
        cv2.blur(self._noise, (5, 5), self._limit)
        self._differ(self._old, self._change)
        self._louder_than_usual()
        self._limit *= np.float32(_KNOWN * self._burst / self._sensitivity)
        self._differ(self._known, self._excess)
        cv2.subtract(self._excess, self._limit, self._excess)
        moved = cv2.minMaxLoc(self._excess)[1] > 0
        self._limit *= np.float32(_BACKGROUND / _KNOWN)
        self._differ(self._background, self._excess)
        cv2.subtract(self._excess, self._limit, self._excess)
        if cv2.minMaxLoc(self._excess)[1] > 0:
            moved = True
            if float((self._excess > 0).mean()) > _STEP:
                np.copyto(self._background, self._new)
        return moved

    def _differ(self, other: Floats, target: Floats) -> None:
        """Differences from another picture at the brightness of this one."""
        gain = (cv2.mean(self._new)[0] + 1) / (cv2.mean(other)[0] + 1)
        np.multiply(other, np.float32(min(max(gain, _GAIN[0]), _GAIN[1])), out=target)
        cv2.absdiff(self._new, target, target)

    def _louder_than_usual(self) -> None:
        """How much more noise this frame has than usual.

        Compressed streams change the whole picture a little with each key frame; that
        stays in the picture until the next one.
        """
        ratios = np.sort(self._change[::4, ::4] / self._limit[::4, ::4], axis=None)
        ratio = float(ratios[int(_QUARTILE * len(ratios))])
        self._burst = min(_BURST, max(1.0, ratio, self._burst * _BURST_DECAY))

    def _follow(self, elapsed: float) -> None:
        """Adapt noise and background."""
        np.greater(self._change, self._noise, out=self._louder)
        np.multiply(self._louder, np.float32(_UP - _DOWN), out=self._change)
        np.add(self._change, np.float32(_DOWN), out=self._change)
        np.multiply(self._noise, self._change, out=self._noise)
        np.clip(self._noise, _FLOOR, _CEILING, out=self._noise)
        cv2.accumulateWeighted(self._new, self._background, min(1.0, elapsed / _SETTLE_S))
