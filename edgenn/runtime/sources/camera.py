"""A camera, through OpenCV: V4L2 on Linux, whatever OpenCV finds elsewhere.

Named by number, path in /dev, or part of its name: ``--camera "HD Webcam"``. Heeds
``size`` and ``fps``, and settings behind a question mark, ``0?format=YUYV&exposure=200``:

- ``format``: four-letter code of the driver, as YUYV or GREY. MJPG is asked for where
  none is given, because uncompressed pictures of any size do not fit through USB 2 at
  30 fps.
- ``exposure``: ``auto``, or a number in the driver's unit, mostly 0.1 ms.
- ``gain``, ``brightness``, ``focus``: numbers in the driver's unit.
- ``autofocus``: 1 or 0.

Cameras answer wishes with the nearest that they have; what they gave instead is a
warning. Frames that cannot be decoded, or that come in another size than the first, are
counted as dropped and skipped; 50 of them in a row are a failure.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from time import monotonic

import cv2
import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime import devices
from edgenn.runtime.sources import Kind, Options, Source, _query, _v4l2
from edgenn.runtime.sources._pool import Pool
from edgenn.types import Frame, Image

KIND: Kind = "image"
EXAMPLE = "--camera 0, --camera 'HD Webcam?format=YUYV&exposure=200'"

_log = logging.getLogger(__name__)
_MOST_BAD = 50
cameras = devices.cameras


class Camera(Source):
    """An open camera. A frame that does not come within the driver's timeout, 10 s, is a failure.

    ``dropped`` is what the camera's stated rate says was missed, as drivers do not tell
    OpenCV, and the frames that were skipped.
    """

    live = True

    def __init__(self, text: str, options: Options) -> None:
        device, settings = _query.split(text, _v4l2.SETTINGS, f"camera {text.partition('?')[0]}")
        self.name = f"camera:{device}"
        self.dropped = 0
        self._pool = Pool()
        self._shape: tuple[int, ...] = ()
        self._capture = _open(device)
        if not self._capture.isOpened():
            raise SourceError(
                f"camera {device} cannot be opened; is another program using it, or does this "
                f"user lack the right (group 'video')?{_v4l2.picamera_hint()}"
            )
        try:
            _v4l2.configure(self._capture, options, settings, self.name)
        except SourceError:
            self.close()
            raise
        self.fps = max(0.0, self._capture.get(cv2.CAP_PROP_FPS))
        _log.info("%s gives %s", self.name, _mode(self._capture))

    def __iter__(self) -> Iterator[Frame]:
        """Frames with the time of the monotonic clock; ends only when closed."""
        index, first, skipped, bad = 0, 0.0, 0, 0
        try:
            while True:
                if not self._capture.grab():
                    hint = "" if index else _v4l2.picamera_hint()
                    raise SourceError(f"{self.name} stopped delivering after {index} frames{hint}")
                now = monotonic()  # decoding comes after it
                first = first or now
                missed = max(0, round((now - first) * self.fps) - index)
                image = None  # so that its buffer may be free
                image = self._decoded()
                bad = bad + 1 if image is None else 0
                skipped += image is None
                self.dropped = missed + skipped
                if image is not None:
                    yield Frame(image, now, index, self.name)
                elif bad >= _MOST_BAD:
                    raise SourceError(
                        f"{self.name} delivers nothing usable: {bad} frames in a row cannot be "
                        "decoded or have changed their size"
                    )
                index += 1
        finally:
            self.close()

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()

    def _decoded(self) -> Image | None:
        """The frame that was grabbed; None if it is not usable."""
        try:
            buffer = self._pool.take(self._shape) if self._shape else None
            ok, image = self._capture.retrieve(buffer)
            if ok and image is not None and len(image) == 1:
                image = self._unpacked(image)
        except cv2.error as error:
            _log.debug("%s: %s", self.name, error)
            return None
        if not ok or image is None or not image.size:
            return None
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        if not self._shape:
            self._shape = image.shape
        return np.asarray(image, np.uint8) if image.shape == self._shape else None

    def _unpacked(self, row: cv2.typing.MatLike) -> cv2.typing.MatLike:
        """The picture of one row of bytes: a JPEG, or BGR3, which OpenCV need not convert.

        Empty if it is neither.
        """
        width, height = _size(self._capture)
        if row.size == width * height * 3:
            return row.reshape(height, width, 3)
        image = cv2.imdecode(row, cv2.IMREAD_COLOR)
        return row[:, :0] if image is None else image


def open_source(name: str, options: Options) -> Camera:
    """Open a camera by number, by its path in /dev, or by part of its name.

    Raises:
        SourceError: There is no such camera or setting, or it cannot be opened.
    """
    return Camera(name, options)


def _open(device: str) -> cv2.VideoCapture:
    if sys.platform.startswith("linux"):
        capture = cv2.VideoCapture(_v4l2.find(device), cv2.CAP_V4L2)
    elif device.isdecimal():
        capture = cv2.VideoCapture(int(device))
    else:
        raise SourceError(f"there is no camera {device!r}: here cameras are known by number only")
    return capture


def _mode(capture: cv2.VideoCapture) -> str:
    code = _v4l2.fourcc(capture.get(cv2.CAP_PROP_FOURCC))
    width, height = _size(capture)
    return f"{width}x{height} at {capture.get(cv2.CAP_PROP_FPS):g} fps as {code}"


def _size(capture: cv2.VideoCapture) -> tuple[int, int]:
    return (
        int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
    )
