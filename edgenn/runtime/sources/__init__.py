"""Where frames and readings come from, one file per kind of source.

A file is a plug-in with three names:

- ``KIND``: "image" where it delivers frames, "window" where it delivers readings,
  as in a manifest's input.
- ``EXAMPLE``: what to write on the command line to use it.
- ``open_source(name: str, options: Options) -> Source``.

One that may deliver either has also ``kinds(name: str) -> tuple[Kind, ...]``, what there is
under that name, and heeds ``options.kind``.

A source is only something to iterate, once, and to close. It ends by
returning and fails by raising `SourceError`, so that a stream that broke never
looks like one that is over. It does no more: threads, dropping and opening
again belong to `edgenn.runtime.live`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from edgenn import plugins
from edgenn.errors import UsageError
from edgenn.runtime.sources._query import without_secrets
from edgenn.types import Frame, Samples

Kind = Literal["image", "window"]
Item = Frame | Samples
S = TypeVar("S", bound="Source")

# How names of devices and of encrypted streams begin, and the plug-in for each.
_STARTS = {
    "mqtts://": "mqtt",
    "/dev/video": "camera",
    "/dev/iio:": "iio",
    "/dev/serial/": "serial",
    "/dev/tty": "serial",
}
PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes that a source may heed; each says in its docstring which.

    Attributes:
        size: Width, height in pixels to ask a camera for.
        fps: Frames per second to ask a camera for, or to assume of a folder of pictures.
        channels: Channels of a sensor to deliver, in this order; empty means all.
        rate: Readings per second of a sensor that tells no times, or to ask one for; 0 if
            not known.
        kind: What is wanted of a recording that has frames and readings.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    channels: tuple[str, ...] = ()
    rate: float = 0.0
    kind: Kind | None = None


class Source(Protocol):
    """An open source; leaving its ``with`` block closes it.

    Attributes:
        name: What the user named, fit to show: without a URL's password.
        live: True where time passes whether or not frames are taken.
        waits: True for a live one that is asked for nothing while nothing is taken, and loses
            nothing by it: the program at the other end of a pipe waits.
        fps: Frames or readings per second; 0 where nobody knows.
        dropped: Items so far that existed but could not be delivered.
    """

    name: str
    live: bool
    fps: float
    dropped: int
    waits: bool = False

    def __iter__(self) -> Iterator[Item]:
        """Deliver everything in order, and close at the end.

        Raises:
            SourceError: The source failed before its end.
        """
        ...

    def close(self) -> None:
        """Release the device or file; may be called again."""
        ...

    def __enter__(self: S) -> S:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def open_source(
    name: str | int | Path, options: Options | None = None, kind: Kind | None = None
) -> Source:
    """Open what a user named.

    Args:
        name: Camera number, ``/dev/video`` path, or ``camera:`` and part of its name;
            picture, folder of pictures, video or sensor CSV; URL of a stream; or a sensor,
            as ``serial:/dev/ttyUSB0``, ``udp://:5005`` and ``-``. ``NAME:REST`` with a
            plug-in's name forces that plug-in.
        options: Wishes for it.
        kind: What the model takes, to refuse a source that delivers the other kind.

    Raises:
        SourceError: It is missing or cannot be opened.
        UsageError: It delivers frames where readings are wanted, or the reverse.
    """
    this = sys.modules[__name__]
    plugin, rest = choose(str(name), plugins.names(this))
    module = plugins.load(this, plugin)
    kinds = module.kinds(rest) if hasattr(module, "kinds") else (module.KIND,)
    if kind is not None and kind not in kinds:
        takes, gives = ("pictures", "sensor readings")[:: 1 if kind == "image" else -1]
        shown = without_secrets(f"{plugin}:{rest}" if rest.startswith("//") else rest)
        raise UsageError(f"{takes} are wanted, but {shown} delivers {gives}")
    options = replace(options or Options(), kind=kind or kinds[0])
    source: Source = module.open_source(rest, options)
    return source


def choose(text: str, known: list[str], kind: Kind | None = None) -> tuple[str, str]:
    """The plug-in for what a user wrote, and what to open with it.

    Args:
        text: As the user wrote it.
        known: Names of the plug-ins.
        kind: "window" takes a file for a CSV file, whatever it is called.
    """
    prefix, colon, rest = text.partition(":")
    if prefix == "camera" and rest.partition(":")[0] in known:  # --camera picamera:0
        return choose(rest, known)
    if colon and rest and prefix in known:
        return prefix, rest
    if text in ("-", "stdin"):
        return "stdin", "-"
    starts = (name for start, name in _STARTS.items() if text.startswith(start))
    plugin = "camera" if text.partition("?")[0].isdecimal() else next(starts, None)
    return plugin or _by_path(text, kind), text


def _by_path(text: str, kind: Kind | None) -> str:
    if "://" in text:
        return "video"
    path = Path(text)
    if (path / "recording.json").is_file():
        return "recording"
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return "images"
    return "csv" if path.suffix.lower() == ".csv" or kind == "window" else "video"
