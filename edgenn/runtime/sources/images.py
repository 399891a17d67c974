"""A folder of pictures in natural order (2 before 10), or a single picture.

Heeds ``fps``, the rate at which the pictures are taken to follow each other.
A picture that cannot be read is counted as dropped and skipped with a warning.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime.sources import PICTURES, Kind, Options, Source
from edgenn.runtime.sources._jpeg import is_cut
from edgenn.types import Frame, Image

KIND: Kind = "image"
EXAMPLE = "--source photos/"

_log = logging.getLogger(__name__)


class Images(Source):
    """The pictures of one folder; `Frame.path` says which file each is."""

    live = False

    def __init__(self, name: str, options: Options) -> None:
        self.name = name
        self.fps = options.fps or 1.0
        self.dropped = 0
        path = Path(name)
        if path.is_dir():
            self._files = _list(path)
        elif path.is_file():
            self._files = [path]
        else:
            raise SourceError(f"there is no picture or folder at {name}")
        if not self._files:
            raise SourceError(f"{name} has no pictures in it ({', '.join(sorted(PICTURES))})")

    def __iter__(self) -> Iterator[Frame]:
        """The pictures that can be read."""
        for index, path in enumerate(self._files):
            image = _read(path)
            if isinstance(image, str):
                self.dropped += 1
                _log.warning("%s cannot be read as a picture%s; skipped", path, image)
                continue
            yield Frame(image, index / self.fps, index, self.name, str(path))
        if self.dropped == len(self._files):
            raise SourceError(f"not one picture of {self.name} can be read")

    def close(self) -> None:
        """Nothing stays open."""


def open_source(name: str, options: Options) -> Images:
    """Open a folder of pictures or one picture.

    Raises:
        SourceError: Missing or empty.
    """
    return Images(name, options)


def _list(folder: Path) -> list[Path]:
    try:
        files = [p for p in folder.iterdir() if p.suffix.lower() in PICTURES and p.is_file()]
    except OSError as error:
        raise SourceError(f"cannot read {folder}: {error.strerror}") from error
    return sorted(files, key=_natural)


def _natural(path: Path) -> list[tuple[int, str]]:
    # Digits compare as numbers; the tuple keeps them comparable with the text between.
    parts = re.split(r"(\d+)", path.name.lower())
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _read(path: Path) -> Image | str:
    """The picture, turned as EXIF says, or why there is none, to go on with."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return f" ({error.strerror})"
    if not raw:
        return ": it is empty"
    if is_cut(raw):
        return ": it is a JPEG that lost its end"
    try:
        image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # absurd dimensions in the header
        return ""
    return "" if image is None else np.asarray(image, np.uint8)
