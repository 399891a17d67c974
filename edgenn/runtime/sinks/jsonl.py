"""JSON Lines: one object per frame or window, flushed line by line.

Form, version 1; `json_schema` gives the same for machines::

    {"schema": 1,                 version of this form
     "time": 12.3,                seconds: media time of files and recordings (of a window: its
                                  end), monotonic clock of cameras
     "frame": 123,                number of the frame or window in its source, from 0
     "source": "street.mp4",      what was opened; "camera:0" for cameras
     "path": "shots/img_7.jpg",   file of this picture; folders of pictures only
     "detections": [              detectors only, best first
       {"label": "person", "class_id": 0, "score": 0.93,
        "box": [x1, y1, x2, y2],              pixels of the original frame
        "keypoints": [[x, y, score]],         models of key points only
        "track": 7, "age": 1.25,              trackers only: number of the object, seconds since
        "speed": [12.5, -3.0]}],              it was first seen, pixels a second across and down
     "labels": [                  classifiers and sequence models only, best first, at most 5
       {"label": "squat", "score": 0.87}],
     "events": [                  only where there are any; seconds on the clock of "time"
       {"label": "squat", "start": 3.1, "end": 9.8, "score": 0.91,
        "track": 7,                           of lines and zones only: who, and how many
        "count": 3}],                         crossed that way so far, or are in the zone now
     "readings": {                frames with a sensor beside the camera only: its readings after
       "channels": ["ax"],        the frame before, up to this one; names where they are known,
       "times": [12.28, 12.3],    seconds on the clock of "time",
       "values": [[0.1], [0.2]]}, in the sensor's units, null where it failed
     "latency_ms": {"capture": 0.5, "preprocess": 0.8, "inference": 9.1, "decode": 0.2,
                    "total": 10.6}}

Events that end with the stream come in one more line, which repeats the last
frame or window. A new field does not change the version; a field that goes or
changes its meaning does.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sys
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

from edgenn.errors import SinkError, UsageError
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Detections, Frame, Prediction, Result, Samples

SCHEMA_VERSION = 1
_TOP = 5
_KEPT = 5  # rotated files
_SYNC_S = 5.0


class JsonlSink(Sink):
    """Writes to an open text stream, and closes it unless it is standard output.

    A file never holds half a line for longer than its disk is full: what was written of a line
    that failed is cut off again, and the next one is tried anew. What is older than 5 seconds
    survives a power cut.

    Args:
        stream: Where to.
        name: What error messages call it.
        limit: Bytes after which the file ``name`` becomes NAME.1, NAME.1 becomes
            NAME.2 and so on to NAME.5, and a new one is begun; 0 never does so.
        anew: What is in the file goes once the run is sure to begin, not before.
        made: The file was not there; a run that does not begin takes it away.
    """

    def __init__(
        self, stream: TextIO, name: str, limit: int = 0, *, anew: bool = False, made: bool = False
    ) -> None:
        self._stream = stream
        self._name = name
        self._limit = limit
        self._pending, self._made = anew and _is_regular(stream), made
        self._size = os.fstat(stream.fileno()).st_size if limit else 0
        # Others may write to where standard output goes.
        self._is_file = stream is not sys.stdout and _is_regular(stream)
        self._torn = False
        self._synced = monotonic()

    def attach(self, health: object) -> None:
        """Nothing refuses the run any more: begin the file anew."""
        del health
        self._begin()

    def write(self, result: Result) -> None:
        """Write one line.

        Raises:
            SinkError: It cannot be written; a later one may be.
            Finished: The reader went away.
        """
        self._begin()
        line = json.dumps(to_dict(result), ensure_ascii=False, separators=(",", ":")) + "\n"
        try:
            if self._is_file:
                self._append(line.encode())
            else:
                self._stream.write(line)
                self._stream.flush()
        except BrokenPipeError as error:
            raise Finished from error
        except OSError as error:
            raise SinkError(f"cannot write {self._name}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file, once the disk has all of it."""
        if self._stream is sys.stdout or self._stream.closed:
            return
        try:
            with self._stream:
                if self._pending and self._made:
                    Path(self._name).unlink(missing_ok=True)
                _sync(self._stream)
        except OSError as error:
            raise SinkError(f"cannot write {self._name}: {error.strerror}") from error

    def _begin(self) -> None:
        if self._pending:
            self._pending = False
            os.ftruncate(self._stream.fileno(), 0)

    def _append(self, data: bytes) -> None:
        if self._limit:
            if self._stream.closed:  # a rotation failed half-way
                self._stream = Path(self._name).open("a", encoding="utf-8")  # noqa: SIM115
            if self._size and self._size + len(data) > self._limit:
                self._rotate()
        # Past Python's buffers, which would keep what does not fit and write it with the next.
        file = self._stream.fileno()
        end = os.lseek(file, 0, os.SEEK_END)
        left = b"\n" + data if self._torn else data
        try:
            while left:
                left = left[os.write(file, left) :]
        except OSError:
            self._torn = not _cut(file, end)
            raise
        self._torn = False
        self._size += len(data)
        if monotonic() - self._synced >= _SYNC_S:
            self._synced = monotonic()
            os.fsync(file)

    def _rotate(self) -> None:
        with self._stream:
            _sync(self._stream)
        path = Path(self._name)
        names = [path, *(path.with_name(f"{path.name}.{i}") for i in range(1, _KEPT + 1))]
        for newer, older in reversed(list(pairwise(names))):
            if newer.exists():
                newer.replace(older)
        self._stream = path.open("w", encoding="utf-8")
        self._size, self._torn = 0, False


def open_sink(target: str, fps: float = 0.0, *, max_mb: float | None = None) -> JsonlSink:
    """Open a file for writing, or standard output for "-".

    Args:
        target: Path or "-". What is in the file goes, unless it is rotated.
        fps: Not used.
        max_mb: Millions of bytes after which the file is rotated; five old ones are kept.

    Raises:
        UsageError: Standard output, pipes and devices cannot be rotated.
        SinkError: The file cannot be created.
    """
    del fps
    if max_mb is not None and (target == "-" or not _is_file(Path(target))):
        raise UsageError(f"--out-max-mb needs a file in --out, which {target} is not")
    if target == "-":
        return JsonlSink(sys.stdout, "standard output")
    try:
        if max_mb is None:
            made = not Path(target).exists()
            stream = Path(target).open("a", encoding="utf-8")  # noqa: SIM115  the sink's
            return JsonlSink(stream, target, anew=True, made=made)
        _end_line(Path(target))
        return JsonlSink(
            Path(target).open("a", encoding="utf-8"), target, max(1, int(max_mb * 1e6))
        )
    except OSError as error:
        raise SinkError(f"cannot write {target}: {error.strerror}") from error


def to_dict(result: Result) -> dict[str, Any]:
    """One line as a dictionary; scores to 4 decimals, boxes to 2, times to 6."""
    item = result.item
    line: dict[str, Any] = {
        "schema": SCHEMA_VERSION,
        "time": round(item.time if isinstance(item, Frame) else item.end, 6),
        "frame": item.index,
        "source": item.source,
    }
    if isinstance(item, Frame) and item.path is not None:
        line["path"] = item.path
    if isinstance(item, Frame) and item.readings is not None:
        line["readings"] = _readings(item.readings)
    line.update(_prediction(result.prediction))
    if result.events:
        line["events"] = [
            {
                "label": event.label,
                "start": round(event.start, 6),
                "end": round(event.end, 6),
                "score": round(event.score, 4),
                **({"track": event.track} if event.track else {}),
                **({} if event.count is None else {"count": event.count}),
            }
            for event in result.events
        ]
    line["latency_ms"] = {stage: round(ms, 3) for stage, ms in result.latency_ms.items()}
    return line


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line."""
    number, text = {"type": "number"}, {"type": "string"}
    score = {"type": "number", "minimum": 0, "maximum": 1}
    count = {"type": "integer", "minimum": 0}
    values = {"type": "array", "items": {"type": ["number", "null"]}}
    box = {"type": "array", "items": number, "minItems": 4, "maxItems": 4}
    point = {**box, "minItems": 3, "maxItems": 3}
    stages = ("capture", "preprocess", "inference", "decode", "total")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "edgenn result",
        **_object(
            {
                "schema": {"const": SCHEMA_VERSION},
                "time": number,
                "frame": count,
                "source": text,
                "latency_ms": _object(dict.fromkeys(stages, number)),
            },
            {
                "path": text,
                "readings": _object(
                    {"times": values, "values": {"type": "array", "items": values}},
                    {"channels": {"type": "array", "items": text}},
                ),
                "detections": _list(
                    {"label": text, "class_id": count, "score": score, "box": box},
                    {
                        "keypoints": {"type": "array", "items": point},
                        "track": count,
                        "age": number,
                        "speed": {**point, "minItems": 2, "maxItems": 2},
                    },
                ),
                "labels": _list({"label": text, "score": score}),
                "events": _list(
                    {"label": text, "start": number, "end": number, "score": score},
                    {"track": count, "count": count},
                ),
            },
        ),
    }


def _readings(samples: Samples) -> dict[str, Any]:
    names = {"channels": list(samples.channels)} if samples.channels else {}
    rows = samples.values.astype(float).tolist()
    times = _finite(samples.times.tolist())
    return {**names, "times": times, "values": [_finite(row) for row in rows]}


def _finite(numbers: list[float]) -> list[float | None]:
    """JSON has no NaN."""
    return [round(number, 6) if math.isfinite(number) else None for number in numbers]


def _prediction(prediction: Prediction) -> dict[str, Any]:
    if isinstance(prediction, Detections):
        # Adding 0.0 turns -0.0, which a box at the edge may have, into 0.0.
        boxes = prediction.boxes.astype(float).round(2) + 0.0
        return {
            "detections": [
                {
                    "label": prediction.name(i),
                    "class_id": int(prediction.class_ids[i]),
                    "score": round(float(prediction.scores[i]), 4),
                    "box": boxes[i].tolist(),
                    **_more(prediction, i),
                }
                for i in range(len(prediction))
            ]
        }
    best = (-prediction.scores).argsort(kind="stable")[:_TOP]
    return {
        "labels": [
            {"label": prediction.labels[i], "score": round(float(prediction.scores[i]), 4)}
            for i in best
        ]
    }


def _more(found: Detections, i: int) -> dict[str, Any]:
    """Key points to 2 decimals, scores to 4; ages to 3, speeds to 1, where there are any."""
    more: dict[str, Any] = {}
    if found.keypoints is not None:
        points = found.keypoints[i].astype(float).tolist()
        more["keypoints"] = [
            [round(x, 2) + 0.0, round(y, 2) + 0.0, round(score, 4)] for x, y, score in points
        ]
    if found.tracks is not None:
        speed = found.tracks.speeds[i].astype(float).round(1) + 0.0
        age = round(float(found.tracks.ages[i]), 3)
        more |= {"track": int(found.tracks.ids[i]), "age": age, "speed": speed.tolist()}
    return more


def _object(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
    }


def _list(item: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "array", "items": _object(item, optional)}


def _sync(stream: TextIO) -> None:
    stream.flush()
    if _is_regular(stream):
        os.fsync(stream.fileno())


def _is_regular(stream: TextIO) -> bool:
    return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)


def _cut(file: int, end: int) -> bool:
    """Take away what was written of a line; False where that cannot be done."""
    try:
        os.ftruncate(file, end)
    except OSError:
        return False
    return True


def _is_file(path: Path) -> bool:
    return path.is_file() or not path.exists()


def _end_line(path: Path) -> None:
    """A power cut may have left half a line, or zeros that ext4 had not filled yet; they must not
    spoil the next one.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        last = b""
        while end and not last:
            start = max(0, end - 4096)
            file.seek(start)
            last = file.read(end - start).rstrip(b"\0")
            end = start + len(last)
        file.truncate(end)
        if last and not last.endswith(b"\n"):
            file.seek(end)
            file.write(b"\n")
