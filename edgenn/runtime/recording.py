"""The folder that `edgenn record` writes: what a camera and a sensor delivered, on one clock.

::

    recording.json   schema, version of edgenn, wall-clock start, sources, counts, finished
    video.mkv        the frames as JPEG, each with its time
    frames.csv       index, time, offset, bytes: number of the frame in its source, seconds,
                     and where its JPEG lies in video.mkv
    sensor.csv       time and a column per channel
    gaps.csv         part, row: where a source failed and came back, before which row of its list

Times are those of the capture, in seconds from the start. A row is written after what it
points at, so that after a crash or a power cut all is readable up to there; `Part.rows` leaves
out what is torn. ``recording.json`` says ``finished: false`` until the end.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import cv2

from edgenn.errors import SinkError, SourceError
from edgenn.runtime.matroska import MjpegWriter
from edgenn.types import Frame, Samples

_log = logging.getLogger(__name__)
SCHEMA_VERSION = 1
META, VIDEO, FRAMES, SENSOR, GAPS = (
    "recording.json",
    "video.mkv",
    "frames.csv",
    "sensor.csv",
    "gaps.csv",
)
_FRAME_COLUMNS = ("index", "time", "offset", "bytes")


class RecordingWriter:
    """Writes such a folder; frames and readings may come from a thread each.

    Args:
        folder: Made if it is missing.
        meta: What ``recording.json`` says of the sources.
        quality: Of the JPEGs, 1..100.

    Raises:
        SinkError: The folder is not empty or cannot be written.
    """

    def __init__(self, folder: Path, meta: dict[str, Any], quality: int) -> None:
        self._folder, self._meta, self._quality = folder, meta, quality
        self._files: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()
        self._video: MjpegWriter | None = None
        self._size = (0, 0)
        self._has_header = False
        self.last = 0.0
        self.frames = self.readings = 0
        self.gaps = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                raise SinkError(f"{folder} is not empty; record into a new folder")
            self._save(finished=False)
            names = [GAPS]
            names += [VIDEO, FRAMES] if "video" in meta else []
            names += [SENSOR] if "sensor" in meta else []
            for name in names:
                self._files[name] = (folder / name).open("wb", buffering=0)
            self._row(GAPS, ("part", "row"))
            if "video" in meta:
                self._row(FRAMES, _FRAME_COLUMNS)
        except OSError as error:
            self._close()
            raise _cannot(folder, error) from error

    def add_frame(self, frame: Frame, time: float) -> None:
        """Append a frame.

        Raises:
            SinkError: It cannot be written.
        """
        ok, jpeg = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, self._quality])
        if not ok:
            raise SinkError(f"frame {frame.index} of {frame.source} cannot be encoded as JPEG")
        try:
            if self._video is None:
                self._size = (frame.image.shape[1], frame.image.shape[0])
                fps = self._meta["video"]["fps"]
                self._video = MjpegWriter(self._files[VIDEO], self._size, fps)
            offset = self._video.add(jpeg.tobytes(), max(0.0, time))
            self._row(FRAMES, (frame.index, repr(time), offset, jpeg.size))
        except OSError as error:
            raise _cannot(self._folder, error) from error
        self.frames += 1
        self.last = max(self.last, time)

    def add_readings(self, samples: Samples, start: float) -> None:
        """Append readings; their times are counted from ``start``.

        Raises:
            SinkError: They cannot be written.
        """
        # Nine digits give a float32 back exactly.
        lines = [
            ",".join([repr(float(time) - start), *(f"{value:.9g}" for value in row.tolist())])
            for time, row in zip(samples.times, samples.values, strict=True)
        ]
        try:
            if not self._has_header:
                # Sources that do not name their channels beforehand name them here, or never.
                sensor, count = self._meta["sensor"], samples.values.shape[1]
                names = sensor["channels"] or list(getattr(samples, "channels", ()))
                sensor["channels"] = names or [f"channel{i}" for i in range(count)]
                self._row(SENSOR, ("time", *sensor["channels"]))
                self._has_header = True
            self._write(SENSOR, "".join(line + "\n" for line in lines).encode())
        except OSError as error:
            raise _cannot(self._folder, error) from error
        self.readings += len(lines)
        if lines:
            self.last = max(self.last, float(samples.times[-1]) - start)

    def add_gap(self, part: str) -> None:
        """The source of "video" or "sensor" failed and is back.

        Raises:
            SinkError: It cannot be written.
        """
        row = self.frames if part == "video" else self.readings
        try:
            with self._lock:
                self.gaps += 1
                self._row(GAPS, (part, row))
        except OSError as error:
            raise _cannot(self._folder, error) from error

    def sync(self) -> None:
        """Have the disk take what was written so far.

        Raises:
            SinkError: It does not.
        """
        try:
            for file in self._files.values():
                os.fsync(file.fileno())
        except OSError as error:
            raise _cannot(self._folder, error) from error

    def finish(self, dropped: dict[str, int]) -> None:
        """Complete the recording and close its files.

        Args:
            dropped: Frames and deliveries of readings that were lost, for each part.

        Raises:
            SinkError: It cannot be written.
        """
        counts: dict[str, Any] = {"gaps": self.gaps, "seconds": round(self.last, 6)}
        if "video" in self._meta:
            self._meta["video"] |= dict(zip(("width", "height"), self._size, strict=True))
            counts["frames"] = self.frames
        if "sensor" in self._meta:
            counts["readings"] = self.readings
        self._meta["counts"] = {**counts, "dropped": dropped}
        try:
            if self._video is not None:
                self._video.finish(self.last)
            self.sync()
            self._save(finished=True)
        except OSError as error:
            raise _cannot(self._folder, error) from error
        finally:
            self._close()

    def abandon(self) -> None:
        """Close the files and leave the recording unfinished; harmless after `finish`."""
        self._close()

    def _row(self, name: str, cells: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(cells)
        self._write(name, text.getvalue().encode())

    def _write(self, name: str, data: bytes) -> None:
        file = self._files[name]
        # Without Python's buffer a full disk may take a part and say so by the count alone.
        while data:
            data = data[file.write(data) :]

    def _save(self, *, finished: bool) -> None:
        text = json.dumps({**self._meta, "finished": finished}, indent=2, ensure_ascii=False)
        part = self._folder / f".{META}.part"
        with part.open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._folder / META)

    def _close(self) -> None:
        for file in self._files.values():
            file.close()


class Part:
    """Rows of one list of a recording, and where its source failed and came back.

    Args:
        folder: The recording.
        name: "video" or "sensor".
        meta: Its ``recording.json``.

    Raises:
        SourceError: The list is missing or has no header.
    """

    def __init__(self, folder: Path, name: str, meta: dict[str, Any]) -> None:
        self._path = folder / (FRAMES if name == "video" else SENSOR)
        self._finished = bool(meta["finished"])
        self.gaps = _gaps(folder / GAPS, name)
        try:
            self._file = self._path.open("rb")
            header = next(csv.reader([self._file.readline().decode()]), [])
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{self._path} cannot be read: {error}") from error
        if len(header) < 2:
            self._file.close()
            raise SourceError(f"{self._path} has no header; nothing was recorded")
        self.columns = header
        if not self._finished:
            _log.warning("%s was not finished; it is replayed up to where it ends", folder)

    def rows(self) -> Iterator[list[float]]:
        """Numbers of each row; ends at the cut of a recording that was not finished.

        Raises:
            SourceError: The list of a finished recording is damaged.
        """
        with self._file:
            for number, line in enumerate(self._file, 2):
                row = self._numbers(line)
                if row is None:
                    self.torn(f"line {number} of {self._path.name}")
                    return
                yield row

    def torn(self, where: str) -> None:
        """Something cannot be read: that is the cut, or damage.

        Raises:
            SourceError: The recording was finished, so that it must not be torn.
        """
        if self._finished:
            raise SourceError(f"{self._path.parent} is damaged: {where} cannot be read")
        _log.warning("%s was cut off at %s; it ends there", self._path.parent, where)

    def close(self) -> None:
        """Close the list."""
        self._file.close()

    def _numbers(self, line: bytes) -> list[float] | None:
        if not line.endswith(b"\n"):
            return None
        try:
            row = [float(cell) for cell in line.decode("ascii").split(",")]
        except ValueError:  # also UnicodeDecodeError
            return None
        return row if len(row) == len(self.columns) else None


def read_meta(folder: Path) -> dict[str, Any]:
    """What ``recording.json`` says.

    Raises:
        SourceError: Missing, damaged or of an unknown version.
    """
    path = folder / META
    try:
        meta = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SourceError(f"there is no recording at {folder}: it has no {META}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error
    if not isinstance(meta, dict) or meta.get("schema") != SCHEMA_VERSION:
        raise SourceError(f"{path} is not of schema {SCHEMA_VERSION}, the one that is known here")
    if "finished" not in meta or not {"video", "sensor"} & meta.keys():
        raise SourceError(f"{path} is damaged: it names nothing that was recorded")
    return meta


def parts(folder: Path) -> list[str]:
    """Which of "video" and "sensor" a folder has; none where it is no recording."""
    try:
        meta = read_meta(folder)
    except SourceError:
        return []
    return [name for name in ("video", "sensor") if name in meta]


def is_recording(folder: Path) -> bool:
    """Whether `edgenn record` wrote this folder."""
    return (folder / META).is_file()


def _gaps(path: Path, part: str) -> list[int]:
    try:
        lines = path.read_bytes().split(b"\n")[1:-1]
    except OSError:
        return []
    rows = [line.decode("ascii", "replace").split(",") for line in lines]
    return [int(row[1]) for row in rows if len(row) == 2 and row[0] == part and row[1].isdecimal()]


def _cannot(folder: Path, error: OSError) -> SinkError:
    return SinkError(f"cannot write {folder}: {error.strerror}; what was recorded so far is kept")
