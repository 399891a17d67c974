"""Cameras of Video4Linux by number, path and name, and what may be set of them."""

from __future__ import annotations

import importlib.util
import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2

from edgenn.errors import SourceError
from edgenn.runtime.devices import cameras, read
from edgenn.runtime.sources import Options, _query

_log = logging.getLogger(__name__)
_CLASS, _BY_ID = Path("/sys/class/video4linux"), Path("/dev/v4l/by-id")
# The driver's own numbers of "exposure_auto": set by hand, and by the camera.
_BY_HAND, _BY_CAMERA = 1.0, 3.0
_CONTROLS = {
    "exposure": cv2.CAP_PROP_EXPOSURE,
    "gain": cv2.CAP_PROP_GAIN,
    "brightness": cv2.CAP_PROP_BRIGHTNESS,
    "autofocus": cv2.CAP_PROP_AUTOFOCUS,
    "focus": cv2.CAP_PROP_FOCUS,
}
SETTINGS = ("format", *_CONTROLS)
# Frames waiting in the driver are old frames: one to fill while one is read is enough.
_QUEUE = 2
_JPEG = ("MJPG", "JPEG")
# Where the node that was opened last under a path is plugged in, and its name.
_ports: dict[Path, tuple[str, str]] = {}


def find(device: str, folder: Path = _CLASS, by_id: Path = _BY_ID) -> str:
    """Path in /dev of the camera that a user means.

    A camera that loses its plug for a moment while it is open comes back under the next number.
    So one that was found by its number or path before is looked for where it was plugged in.

    Args:
        device: Number, path, or part of the name, in capitals or not.
        folder: Where the kernel lists video devices.
        by_id: Where udev lists them by maker, product and serial number.

    Raises:
        SourceError: There is no such camera, or several have that name.
    """
    if device.isdecimal() or "/" in device:
        path = Path(f"/dev/video{device}" if device.isdecimal() else device)
        if moved := _moved(path, folder):
            _log.warning("the camera that was %s is %s now", path, moved)
            return moved
        if path.exists():
            _ports[path] = _port(path, folder)
            return str(path)
        there = ", ".join(sorted(str(p) for p in Path("/dev").glob("video*")))
        raise SourceError(
            f"there is no camera {path}; there is {there or 'no /dev/video*'}{picamera_hint()}"
        )
    names = {path: [name, *_ids(path, by_id)] for path, name in cameras(folder)}
    wanted = device.casefold()
    found = [p for p, known in names.items() if any(wanted == n.casefold() for n in known)]
    found = found or [p for p, known in names.items() if any(wanted in n.casefold() for n in known)]
    if len(found) == 1:
        return found[0]
    there = "; ".join(f"{path}: {', '.join(names[path])}" for path in found or names)
    if found:
        raise SourceError(f"camera {device!r} may be any of {there}; write more of the name")
    raise SourceError(
        f"there is no camera {device!r}; there is {there or 'none at all'}{picamera_hint()}"
    )


def picamera_hint() -> str:
    """Where to look on a Raspberry Pi, whose own cameras V4L2 does not show as such."""
    if importlib.util.find_spec("picamera2") is None:
        return ""
    return "; a camera on the Raspberry Pi's ribbon cable is --camera picamera:0"


def configure(
    capture: cv2.VideoCapture, options: Options, settings: Mapping[str, str], name: str
) -> None:
    """Ask for format, size, rate and controls; a warning says what came of it instead.

    Raises:
        SourceError: A setting is not what it should be.
    """
    code = settings.get("format", "MJPG").upper()
    if len(code) != 4 or not code.isascii():
        raise SourceError(
            f"the camera's format {code!r} is not a four-letter code, as MJPG or YUYV"
        )
    wishes = [("format", cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*code)))]
    if options.size is not None:
        wishes.append(("width", cv2.CAP_PROP_FRAME_WIDTH, options.size[0]))
        wishes.append(("height", cv2.CAP_PROP_FRAME_HEIGHT, options.size[1]))
    if options.fps is not None:
        wishes.append(("fps", cv2.CAP_PROP_FPS, options.fps))
    wishes += _controls(settings)
    for _, key, value in wishes:
        capture.set(key, value)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, _QUEUE)
    if sys.platform.startswith("linux") and fourcc(capture.get(cv2.CAP_PROP_FOURCC)) in _JPEG:
        # OpenCV's V4L2 backend gives the picture before again where a JPEG cannot be decoded, and
        # says that all is well: what the camera sent is taken as it is.
        capture.set(cv2.CAP_PROP_CONVERT_RGB, 0)
    for wish, key, asked in wishes:
        got = capture.get(key)
        # What was not asked for by the user is only told with the mode.
        if abs(got - asked) > 0.01 * abs(asked) and (wish != "format" or "format" in settings):
            told = (fourcc(v) if wish == "format" else f"{v:g}" for v in (asked, got))
            _log.warning("%s: asked for %s %s, got %s", name, wish, *told)


def fourcc(code: float) -> str:
    """The four letters of a format."""
    return "".join(chr(int(code) >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip()


def _controls(settings: Mapping[str, str]) -> Iterator[tuple[str, int, float]]:
    for key, prop in _CONTROLS.items():
        if key not in settings:
            continue
        text = settings[key]
        if key == "exposure":
            yield "auto exposure", cv2.CAP_PROP_AUTO_EXPOSURE, (
                _BY_CAMERA if text == "auto" else _BY_HAND
            )  # fmt: skip
            if text == "auto":
                continue
        yield key, prop, _query.number(key, text)


def _ids(path: str, by_id: Path) -> list[str]:
    return sorted(p.name for p in by_id.glob("*") if p.resolve().name == Path(path).name)


def _port(path: Path, folder: Path) -> tuple[str, str]:
    node = folder / path.name
    plug = node / "device"
    return (str(plug.resolve()) if plug.exists() else "", read(node / "name"))


def _moved(path: Path, folder: Path) -> str:
    """Where the camera is that was under this path; empty if it is not known or still there."""
    port = _ports.get(path, ("", ""))
    if not port[0] or _port(path, folder) == port:
        return ""
    return next((node for node, _ in cameras(folder) if _port(Path(node), folder) == port), "")
