"""Pictures for watchers: drawn and encoded in a thread of its own, and only while one watches."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from time import monotonic

import cv2
import numpy as np

from edgenn.runtime.draw import draw
from edgenn.types import Frame, Image, Mark, Prediction

MAX_FPS = 10.0
MAX_WATCHERS = 4
_MAX_SIDE = 1280  # larger ones cost the device and the phone much, and show no more
_QUALITY = 80


class TooManyWatchersError(Exception):
    """`Pictures.watch` has no place left."""


class Pictures:
    """Hands the newest frame from the loop to those who watch.

    Args:
        max_fps: At most so many pictures a second are encoded, once for all watchers.
    """

    def __init__(self, max_fps: float = MAX_FPS) -> None:
        self._interval = 1 / max_fps
        self._changed = threading.Condition()
        self._watchers = 0
        self._hungry = False
        self._closed = False
        self._buffer: Image = np.empty((0, 0, 3), np.uint8)
        self._pending: tuple[Image, Prediction, tuple[Mark, ...]] | None = None
        self._jpeg: bytes | None = None
        self._number = 0
        self._thread = threading.Thread(target=self._work, name="web-pictures", daemon=True)
        self._thread.start()

    def offer(self, frame: Frame, prediction: Prediction, marks: tuple[Mark, ...] = ()) -> None:
        """Take the frame if the next picture is due for somebody, which costs one copy.

        The source may reuse the frame's buffer afterwards. For one thread only.
        """
        if not self._hungry:  # without the lock: a frame later is soon enough
            return
        # Hungry means that nothing waits and nothing is encoded, so the buffer is free; a fresh
        # one for each picture would cost the loop a page fault every 4 kB.
        if self._buffer.shape != frame.image.shape:
            self._buffer = np.empty(frame.image.shape, np.uint8)
        np.copyto(self._buffer, frame.image)
        with self._changed:
            if self._hungry:
                self._hungry = False
                self._pending = self._buffer, prediction, marks
                self._changed.notify_all()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Pictures are encoded for the time of the block.

        Raises:
            TooManyWatchersError: Enough watch already.
        """
        with self._changed:
            if self._watchers >= MAX_WATCHERS:
                raise TooManyWatchersError
            self._watchers += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._watchers -= 1
                if not self._watchers:
                    self._hungry = False
                    self._pending = self._jpeg = None  # the next one wants no old picture

    def next(self, after: int, timeout: float) -> tuple[int, bytes | None]:
        """The newest picture and its number; waits for one newer than ``after``.

        Returns:
            What there is when ``timeout`` seconds are over, which may be the same
            picture or None.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or (self._jpeg is not None and self._number > after), timeout
            )
            return self._number, self._jpeg

    @property
    def closed(self) -> bool:
        """Whether there will be no more pictures."""
        return self._closed

    def close(self) -> None:
        """End; watchers are woken. May be called again."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(5)

    def _is_due(self) -> bool:
        self._hungry = self._watchers > 0 and self._pending is None
        return self._closed or self._pending is not None

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(self._is_due)
                if self._closed or self._pending is None:
                    return
                (image, prediction, marks), self._pending = self._pending, None
            start = monotonic()
            data = encode(image, prediction, marks)
            with self._changed:
                self._number += 1
                self._jpeg = data if self._watchers else None
                self._changed.notify_all()
                rest = self._interval - (monotonic() - start)
                self._changed.wait_for(lambda: self._closed, max(0.0, rest))


def encode(image: Image, prediction: Prediction, marks: tuple[Mark, ...] = ()) -> bytes:
    """A JPEG file with the prediction drawn in, at most 1280 pixels wide and high.

    Args:
        image: (H, W, 3) uint8 BGR; not changed.
        prediction: What to draw.
        marks: Lines and zones to draw.
    """
    picture = draw(image, prediction, marks)
    zoom = _MAX_SIDE / max(picture.shape[:2])
    if zoom < 1:
        size = (round(picture.shape[1] * zoom), round(picture.shape[0] * zoom))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()
