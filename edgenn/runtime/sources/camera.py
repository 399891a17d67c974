"""A camera, through OpenCV: V4L2 on Linux, whatever OpenCV finds elsewhere.

Heeds ``size`` and ``fps``. MJPG is asked for first, because uncompressed
pictures of any size do not fit through USB 2 at 30 fps. Cameras answer wishes
with the nearest mode that they have; what they gave is logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import cv2
import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, Source
from edgenn.types import Frame

KIND: Kind = "image"
EXAMPLE = "--camera 0"

_log = logging.getLogger(__name__)
# Frames waiting in the driver are old frames: one to fill while one is read is enough.
_QUEUE = 2


class Camera(Source):
    """An open camera. A frame that does not come within the driver's timeout, 10 s, is a failure.

    ``dropped`` is what the camera's stated rate says was missed; drivers do not
    tell OpenCV.
    """

    live = True

    def __init__(self, device: str, options: Options) -> None:
        self.name = f"camera:{device}"
        self.dropped = 0
        self._capture = _open(device, options)
        if not self._capture.isOpened():
            raise SourceError(
                f"camera {device} cannot be opened; is another program using it, or does this "
                "user lack the right (group 'video')?"
            )
        self.fps = max(0.0, self._capture.get(cv2.CAP_PROP_FPS))
        _log.info("%s gives %s", self.name, _mode(self._capture))

    def __iter__(self) -> Iterator[Frame]:
        """Frames with the time of the monotonic clock; ends only when closed."""
        index, first = 0, 0.0
        try:
            while True:
                ok = self._capture.grab()
                now = monotonic()  # decoding comes after it
                ok, image = self._capture.retrieve() if ok else (False, None)
                if not ok or image is None:
                    raise SourceError(f"{self.name} stopped delivering after {index} frames")
                first = first or now
                self.dropped = max(0, round((now - first) * self.fps) - index)
                yield Frame(np.asarray(image, np.uint8), now, index, self.name)
                index += 1
        finally:
            self.close()

    def close(self) -> None:
        """Release the camera."""
        self._capture.release()


def open_source(name: str, options: Options) -> Camera:
    """Open a camera by number or by its path in /dev.

    Raises:
        SourceError: There is no such camera, or it cannot be opened.
    """
    return Camera(name, options)


def cameras(folder: Path = Path("/sys/class/video4linux")) -> list[tuple[str, str]]:
    """Cameras of this device as V4L2 knows them: path in /dev, and name.

    A camera may have further nodes, for metadata, which give no pictures: only its
    first one is listed. Empty where there is no V4L2.
    """
    nodes = sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name))
    return [
        (f"/dev/{node.name}", _read(node / "name") or "without a name")
        for node in nodes
        if _read(node / "index") in ("0", "")
    ]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # unplugged meanwhile, or a driver that does not say
        return ""


def _open(device: str, options: Options) -> cv2.VideoCapture:
    if not sys.platform.startswith("linux"):
        capture = cv2.VideoCapture(int(device))
    else:
        path = Path(f"/dev/video{device}" if device.isdecimal() else device)
        if not path.exists():
            there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*")))
            raise SourceError(f"there is no camera {path}; there is {there or 'no /dev/video*'}")
        capture = cv2.VideoCapture(str(path), cv2.CAP_V4L2)
    wishes = [(cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*"MJPG")))]
    if options.size is not None:
        wishes += [
            (cv2.CAP_PROP_FRAME_WIDTH, options.size[0]),
            (cv2.CAP_PROP_FRAME_HEIGHT, options.size[1]),
        ]
    if options.fps is not None:
        wishes.append((cv2.CAP_PROP_FPS, options.fps))
    for key, value in [*wishes, (cv2.CAP_PROP_BUFFERSIZE, _QUEUE)]:
        capture.set(key, value)
    return capture


def _mode(capture: cv2.VideoCapture) -> str:
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    fourcc = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
    width, height = (
        int(capture.get(p)) for p in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    return f"{width}x{height} at {capture.get(cv2.CAP_PROP_FPS):g} fps as {fourcc.strip()}"
