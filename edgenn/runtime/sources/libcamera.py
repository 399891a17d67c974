"""A camera that libcamera drives, through its GStreamer element: ``libcamera://0``.

For the cameras of Raspberry Pi and other boards on systems without picamera2. The number
counts the cameras that are there; behind ``libcamera://`` may also stand the name that
``cam --list`` shows. Heeds ``size`` (1280x720) and ``fps`` (30).
"""

from __future__ import annotations

import shlex
from fractions import Fraction

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._gst import Gst

KIND: Kind = "image"
EXAMPLE = "--camera libcamera://0"


def pipeline(name: str, options: Options) -> str:
    """What gst-launch-1.0 is to run.

    Raises:
        SourceError: A camera other than the first is named by its number.
    """
    camera = name.removeprefix("//")
    if camera.isdecimal() and int(camera):
        raise SourceError(
            f"there is no camera libcamera:{name}: the first is libcamera://0, others go by the "
            "name that `cam --list` shows, as libcamera:///base/soc/i2c0mux/i2c@1/imx219@10"
        )
    chosen = "" if camera in ("", "0") else " " + shlex.quote(f"camera-name={camera}")
    width, height = options.size or (1280, 720)
    rate = Fraction(options.fps or 30).limit_denominator(1001)
    return (
        f"libcamerasrc{chosen} ! video/x-raw,width={width},height={height},"
        f"framerate={rate.numerator}/{rate.denominator}"
    )


def open_source(name: str, options: Options) -> Gst:
    """Open the camera.

    Raises:
        SourceError: It is missing, busy, or the element is not installed.
    """
    return Gst(f"libcamera:{name}", pipeline(name, options))
