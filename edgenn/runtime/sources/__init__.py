"""Where frames and readings come from, one file per kind of source.

A file is a plug-in with three names:

- ``KIND``: "image" where it delivers frames, "window" where it delivers readings,
  as in a manifest's input.
- ``EXAMPLE``: what to write on the command line to use it.
- ``open_source(name: str, options: Options) -> Source``.

A source is only something to iterate, once, and to close. It ends by
returning and fails by raising `SourceError`, so that a stream that broke never
looks like one that is over. It does no more: threads, dropping and opening
again belong to `edgenn.runtime.live`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from edgenn import plugins
from edgenn.errors import UsageError
from edgenn.types import Frame, Samples

Kind = Literal["image", "window"]
Item = Frame | Samples
S = TypeVar("S", bound="Source")

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"})


@dataclass(frozen=True, slots=True)
class Options:
    """Wishes that a source may heed; each says in its docstring which.

    Attributes:
        size: Width, height in pixels to ask a camera for.
        fps: Frames per second to ask a camera for, or to assume of a folder of pictures.
        channels: Columns of a sensor file to deliver, in this order; empty means all.
        rate: Readings per second of a sensor file without timestamps; 0 if not known.
    """

    size: tuple[int, int] | None = None
    fps: float | None = None
    channels: tuple[str, ...] = ()
    rate: float = 0.0


class Source(Protocol):
    """An open source; leaving its ``with`` block closes it.

    Attributes:
        name: What the user named, fit to show: without a URL's password.
        live: True where time passes whether or not frames are taken.
        fps: Frames or readings per second; 0 where nobody knows.
        dropped: Items so far that existed but could not be delivered.
    """

    name: str
    live: bool
    fps: float
    dropped: int

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
            picture, folder of pictures, video or sensor CSV; or URL of a stream.
            ``NAME:REST`` with a plug-in's name forces that plug-in.
        options: Wishes for it.
        kind: What the model takes, to refuse a source that delivers the other kind.

    Raises:
        SourceError: It is missing or cannot be opened.
        UsageError: It delivers frames where readings are wanted, or the reverse.
    """
    this = sys.modules[__name__]
    plugin, rest = choose(str(name), plugins.names(this))
    module = plugins.load(this, plugin)
    if kind not in (None, module.KIND):
        takes, gives = ("pictures", "sensor readings")[:: 1 if kind == "image" else -1]
        raise UsageError(f"the model takes {takes}, but {rest} delivers {gives}")
    source: Source = module.open_source(rest, options or Options())
    return source


def choose(text: str, known: list[str]) -> tuple[str, str]:
    """The plug-in for what a user wrote, and what to open with it."""
    prefix, colon, rest = text.partition(":")
    if prefix == "camera" and rest.partition(":")[0] in known:  # --camera picamera:0
        return choose(rest, known)
    if colon and rest and prefix in known:
        return prefix, rest
    if text.partition("?")[0].isdecimal() or text.startswith("/dev/video"):
        return "camera", text
    if "://" in text:
        return "video", text
    path = Path(text)
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return "images", text
    return ("csv" if path.suffix.lower() == ".csv" else "video"), text
