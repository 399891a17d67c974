"""Replay of a folder that `edgenn record` wrote: its frames, or its readings.

Heeds ``kind``, which of the two, and ``channels``. They come with the times at which
they were captured, in seconds from the start of the recording. A recording that was cut
off is replayed up to there, with a warning. Pictures are decoded by OpenCV's own JPEG
decoder, whatever video libraries it was built with, so that they are the same each time.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from edgenn import plugins
from edgenn.errors import SourceError
from edgenn.runtime.recording import VIDEO, Part, parts, read_meta
from edgenn.runtime.sources import Kind, Options, Source
from edgenn.types import Frame, Image, Samples

KIND: Kind = "image"
EXAMPLE = "--source my-recording/, --sensor my-recording/"

_KINDS: dict[str, Kind] = {"video": "image", "sensor": "window"}
_CHUNK = 64


class _Recording(Source):
    """What both have in common.

    Attributes:
        connection: How often the recorded source had failed and come back before the
            newest item; where it changes, the stream has a gap.
    """

    live = False

    def __init__(self, name: str, part: str) -> None:
        self.name = name
        self.dropped = self.connection = 0
        meta = read_meta(Path(name))
        if part not in meta:
            there = "frames" if part == "sensor" else "readings"
            raise SourceError(f"the recording {name} has only {there}")
        self.fps = float(meta[part].get("fps", 0.0))
        self._part = Part(Path(name), part, meta)

    def close(self) -> None:
        """Close the files."""
        self._part.close()

    def _pass(self, row: int) -> None:
        self.connection = sum(gap <= row for gap in self._part.gaps)


class Film(_Recording):
    """The frames of a recording, numbered as they were captured."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "video")
        path = Path(name) / VIDEO
        try:
            self._file = path.open("rb")
        except OSError as error:
            self.close()
            raise SourceError(f"{path} cannot be read: {error.strerror}") from error

    def __iter__(self) -> Iterator[Frame]:
        """The frames with their times."""
        count = 0
        try:
            for number, time, offset, size in self._part.rows():
                image = self._read(int(offset), int(size))
                if image is None:
                    self._part.torn(f"frame {int(number)}")
                    break
                self._pass(count)
                count += 1
                yield Frame(image, time, int(number), self.name)
            if not count:
                raise SourceError(f"the recording {self.name} has no frames in it")
        finally:
            self.close()

    def close(self) -> None:
        """Close the files."""
        super().close()
        if hasattr(self, "_file"):
            self._file.close()

    def _read(self, offset: int, size: int) -> Image | None:
        self._file.seek(offset)
        jpeg = self._file.read(size)
        # The decoder fills up with grey what is missing of a picture.
        if len(jpeg) < size or jpeg[:2] != b"\xff\xd8" or jpeg[-2:] != b"\xff\xd9":
            return None
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        return None if image is None else np.asarray(image, np.uint8)


class Readings(_Recording):
    """The readings of a recording, 64 at a time.

    Attributes:
        channels: Names of what is delivered.
    """

    def __init__(self, name: str, options: Options) -> None:
        super().__init__(name, "sensor")
        there = self._part.columns[1:]
        self.channels = options.channels or tuple(there)
        for channel in self.channels:
            if channel not in there:
                self.close()
                hint = plugins.suggestion(channel, there)
                raise SourceError(f"the recording {name} has no channel {channel!r}{hint}")
        self._columns = [1 + there.index(channel) for channel in self.channels]

    def __iter__(self) -> Iterator[Samples]:
        """The readings with their times; none of what is delivered at once spans a gap."""
        count = 0
        rows = self._part.rows()
        ends = sorted(self._part.gaps)
        try:
            while True:
                left = min((end - count for end in ends if end > count), default=_CHUNK)
                chunk = list(islice(rows, min(_CHUNK, left)))
                if not chunk:
                    break
                table = np.array(chunk, np.float64)
                self._pass(count)
                count += len(chunk)
                yield Samples(table[:, self._columns].astype(np.float32), table[:, 0], self.name)
            if not count:
                raise SourceError(f"the recording {self.name} has no readings in it")
        finally:
            self.close()


def kinds(name: str) -> tuple[Kind, ...]:
    """What a recording has, frames first; frames where it is none, which its opening will say."""
    return tuple(_KINDS[part] for part in parts(Path(name))) or (KIND,)


def open_source(name: str, options: Options) -> Source:
    """Open a recording.

    Raises:
        SourceError: It is none, has not what is wanted, or lacks a channel.
    """
    if options.kind == "window":
        return Readings(name, options)
    return Film(name)
