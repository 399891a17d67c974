"""A made-up picture in which a red square moves, for trying out and for tests.

``test://?size=320x240&fps=30`` and so on; heeds no option. All settings are optional:

- ``size``: width x height in pixels, 320x240.
- ``fps``: live at this rate, as a camera: without end, and frames that nobody takes in
  time are dropped. Without it, a recording at 25 frames a second.
- ``frames``: end after so many; without ``fps`` it is 100.
- ``fail_at``, ``stall_at``: fail, or hang for ``stall`` seconds (3600), at this frame
  of every opening.

Where the square is at a frame is known: `truth`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from time import monotonic, sleep

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options, Source, _query
from edgenn.runtime.sources._pool import Pool
from edgenn.types import Frame, Image

KIND: Kind = "image"
EXAMPLE = "--source 'test://?size=320x240&fps=30'"

_RATE, _FRAMES = 25.0, 100
_GROUND, _SQUARE = 20, (0, 0, 255)
_DEFAULTS = {
    "size": "320x240",
    "fps": "0",
    "frames": "0",
    "fail_at": "-1",
    "stall_at": "-1",
    "stall": "3600",
}


class Pattern(Source):
    """The moving square."""

    def __init__(self, name: str) -> None:
        self.name = f"test:{name}"
        self.dropped = 0
        self._pool = Pool()
        texts = _settings(name)
        self._size = _size(texts.pop("size"))
        values = {key: _number(key, text) for key, text in texts.items()}
        self.live = values["fps"] > 0
        self.fps = values["fps"] or _RATE
        self._frames = int(values["frames"]) or (0 if self.live else _FRAMES)
        self._fail_at, self._stall_at = values["fail_at"], values["stall_at"]
        self._stall = values["stall"]

    def __iter__(self) -> Iterator[Frame]:
        """The frames, at their time where it is live."""
        index, start = 0, monotonic()
        while not self._frames or index < self._frames:
            time = index / self.fps
            if self.live:
                sleep(max(0.0, start + time - monotonic()))
                time = monotonic()
            if 0 <= self._fail_at <= index:
                raise SourceError(f"{self.name} fails at frame {index}, as it was told to")
            if 0 <= self._stall_at <= index:
                self._stall_at = -1
                sleep(self._stall)
            yield Frame(self._draw(index), time, index, self.name)
            index += 1
            if self.live:
                missed = int((monotonic() - start) * self.fps) - index
                if missed > 0:
                    self.dropped += missed
                    index += missed

    def close(self) -> None:
        """Nothing stays open."""

    def _draw(self, index: int) -> Image:
        width, height = self._size
        image = self._pool.take((height, width, 3))
        image[...] = _GROUND
        x1, y1, x2, y2 = truth(index, width, height)
        image[y1:y2, x1:x2] = _SQUARE
        return image


def truth(index: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Where the square is: x1 y1 x2 y2 in pixels, x2 and y2 just outside of it.

    Its sides are a sixth of the picture's shorter one; it runs to and fro, two pixels a
    frame across and one down.
    """
    side = max(1, min(width, height) // 6)

    def bounce(way: int, room: int) -> int:
        return room - abs(way % (2 * room) - room) if room else 0

    x, y = bounce(2 * index, width - side), bounce(index, height - side)
    return x, y, x + side, y + side


def open_source(name: str, options: Options) -> Pattern:
    """Open the pattern.

    Raises:
        SourceError: There is no such pattern or setting.
    """
    del options
    return Pattern(name)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", text)
    if found is None:
        raise SourceError(f"the test pattern's size {text!r} is not WIDTHxHEIGHT, as 320x240")
    return int(found[1]), int(found[2])


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < (-1 if key.endswith("_at") else 0):
        raise SourceError(f"the test pattern's {key} {text!r} is not a number from 0 up")
    return value


def _settings(name: str) -> dict[str, str]:
    path = name.partition("?")[0]
    if path.strip("/"):
        raise SourceError(f"there is no test pattern {path!r}; there is {EXAMPLE.split()[1]}")
    return {**_DEFAULTS, **_query.split(name, _DEFAULTS, f"test:{name}")[1]}
