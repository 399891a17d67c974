"""A camera on the Raspberry Pi's ribbon cable, through picamera2: ``--camera picamera:0``.

Heeds ``size`` (640x480) and ``fps`` (30). `Frame.time` is when the sensor began to read out the
picture, on the monotonic clock. picamera2 comes with the system, not from PyPI.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, Source
from edgenn.runtime.sources._pool import Pool
from edgenn.types import Frame, Image

KIND: Kind = "image"
EXAMPLE = "--camera picamera:0"

_log = logging.getLogger(__name__)
_TIMEOUT_S = 10.0
_FORMAT = "RGB888"  # libcamera's name for blue, green, red in memory


class PiCamera(Source):
    """An open camera; ``dropped`` is what its rate says was missed, by the sensor's times."""

    live = True

    def __init__(self, number: str, options: Options) -> None:
        self.name = f"picamera:{number}"
        self.dropped = 0
        self.fps = options.fps or 30.0
        self._pool, self._closed = Pool(), False
        module = _picamera2()
        try:
            there = module.Picamera2.global_camera_info()
            if not number.isdecimal() or int(number) >= len(there):
                known = ", ".join(f"picamera:{i} ({c['Model']})" for i, c in enumerate(there))
                raise SourceError(f"there is no camera {self.name}; there is {known or 'none'}")
            self._camera = module.Picamera2(int(number))
        except (RuntimeError, IndexError) as error:
            raise SourceError(f"{self.name} cannot be opened: {error}") from error
        try:
            self._start(options)
        except (RuntimeError, ValueError) as error:
            self.close()
            raise SourceError(f"{self.name} cannot be set up: {error}") from error
        self._mapped = module.MappedArray

    def _start(self, options: Options) -> None:
        config = self._camera.create_video_configuration(
            main={"size": options.size or (640, 480), "format": _FORMAT},
            controls={"FrameRate": self.fps},
            # One is filled, one waits, one is copied.
            buffer_count=3,
            queue=True,
        )
        self._camera.configure(config)
        main = self._camera.camera_configuration()["main"]
        self._width, self._height = main["size"]
        self._stride = main["stride"]
        if main["format"] != _FORMAT:
            raise ValueError(f"it gives {main['format']} instead of {_FORMAT}")
        if options.size not in (None, (self._width, self._height)):
            _log.warning(
                "%s: asked for size %dx%d, got %dx%d",
                self.name, *options.size, self._width, self._height,
            )  # fmt: skip
        self._camera.start()

    def __iter__(self) -> Iterator[Frame]:
        """Frames by the time of their exposure; ends only when closed."""
        index, first = 0, 0.0
        try:
            while not self._closed:
                image = None  # so that its buffer may be free
                image, captured = self._next(index)
                first = first or captured
                self.dropped = max(0, round((captured - first) * self.fps) - index)
                yield Frame(image, captured, index, self.name)
                index += 1
        finally:
            self.close()

    def close(self) -> None:
        """Stop and release the camera."""
        if not self._closed:
            self._closed = True
            self._camera.close()

    def _next(self, index: int) -> tuple[Image, float]:
        try:
            job = self._camera.capture_request(wait=False)
            request = job.get_result(timeout=_TIMEOUT_S)
        except (TimeoutError, FutureTimeoutError) as error:
            raise SourceError(
                f"{self.name} delivered nothing for {_TIMEOUT_S:g} s after {index} frames; is the "
                "cable well seated?"
            ) from error
        except RuntimeError as error:
            raise SourceError(f"{self.name} stopped delivering: {error}") from error
        try:
            image = self._pool.take((self._height, self._width, 3))
            # The camera has few buffers and wants this one back: it is copied once, without
            # the bytes that pad its rows. make_array copies twice where there are such.
            with self._mapped(request, "main", reshape=False, write=False) as mapped:
                rows = mapped.array.reshape(-1)[: self._height * self._stride]
                rows = rows.reshape(self._height, self._stride)[:, : 3 * self._width]
                np.copyto(image, rows.reshape(image.shape))
            captured = request.get_metadata().get("SensorTimestamp")
        finally:
            request.release()
        return image, time.monotonic() if captured is None else _monotonic(captured)


def open_source(name: str, options: Options) -> PiCamera:
    """Open a camera by its number among those that libcamera sees.

    Raises:
        SourceError: picamera2 or the camera is missing, or the camera is in use.
    """
    return PiCamera(name.strip("/"), options)


def _monotonic(boottime_ns: int) -> float:
    """The same moment on the monotonic clock, which stands still while the device sleeps."""
    # The two are not read at once; the reading with the least time between is the best one.
    slept = max(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.monotonic_ns() for _ in range(3))
    return (boottime_ns - slept) / 1e9


def _picamera2() -> Any:  # noqa: ANN401  a package without types that exists on a Pi only
    try:
        return importlib.import_module("picamera2")
    except ImportError as error:
        raise SourceError(
            "there is no picamera2, which drives the Raspberry Pi's own cameras: sudo apt install "
            "python3-picamera2, and make the environment of edgenn with "
            "`python3 -m venv --system-site-packages`"
        ) from error
