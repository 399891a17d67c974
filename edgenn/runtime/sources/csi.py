"""A camera on the ribbon cable of an NVIDIA Jetson: ``csi://0``, through Argus.

Heeds ``size`` (1280x720) and ``fps`` (30). Settings: ``flip-method``, 0 to 7 as nvvidconv
counts: 2 turns the picture by half. The image processor scales and turns; the processor
only takes the fourth byte off each pixel.
"""

from __future__ import annotations

from fractions import Fraction

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, _query
from edgenn.runtime.sources._gst import Gst

KIND: Kind = "image"
EXAMPLE = "--camera csi://0, --camera 'csi://0?flip-method=2'"


def pipeline(name: str, options: Options) -> str:
    """What gst-launch-1.0 is to run.

    Raises:
        SourceError: There is no such setting, or the name is not a number.
    """
    sensor, settings = _query.split(name.strip("/"), ("flip-method",), f"csi:{name}")
    if not sensor.isdecimal():
        raise SourceError(f"there is no camera csi:{name}; there is csi://0, csi://1 and so on")
    flip = settings.get("flip-method", "0")
    if flip not in set("01234567"):
        raise SourceError(f"the camera's flip-method {flip!r} is not a number from 0 to 7")
    width, height = options.size or (1280, 720)
    rate = Fraction(options.fps or 30).limit_denominator(1001)
    return (
        f"nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM),width={width},"
        f"height={height},framerate={rate.numerator}/{rate.denominator} "
        f"! nvvidconv flip-method={flip} ! video/x-raw,format=BGRx"
    )


def open_source(name: str, options: Options) -> Gst:
    """Open the camera.

    Raises:
        SourceError: It is missing, busy, or this is no Jetson.
    """
    return Gst(f"csi:{name}", pipeline(name, options))
