"""Labels for pictures that have none, from a larger model: pseudo-labels.

Lee 2013, "Pseudo-Label". The teacher looks at every frame whole and in
overlapping parts, each also mirrored, and what it says is joined: test-time
augmentation finds more small objects than one look.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from edgenn.errors import DataError, ModelError
from edgenn.ops.boxes import nms
from edgenn.plugins import suggestion
from edgenn.runtime.model import Model
from edgenn.types import Detections, Floats, Frame, Image

# Side of the thumbnail on which frames are compared.
_THUMB = 32
# A part's side, as a share of the frame's.
_PART = 0.6
# Boxes closer than this to a cut, as a share of the part's side, are cut objects.
_MARGIN = 0.02
_IOU = 0.55
_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Wishes:
    """How to label.

    Attributes:
        conf: Boxes below this score are left out, 0..1.
        classes: Labels of the teacher to keep, in this order; empty for all.
        change: Frames that differ less than this from the last one taken are passed
            over; mean difference of pixel values, 0..1. 0 takes every frame.
        parts: Look at overlapping parts of the frame too, not only at the whole.
        limit: At most so many pictures; 0 for no limit.
    """

    conf: float = 0.4
    classes: Sequence[str] = ()
    change: float = 0.03
    parts: bool = True
    limit: int = 0


def label(
    frames: Iterable[Frame],
    teacher: Model,
    out: Path,
    wishes: Wishes,
    tick: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Write a YOLO data set: images, labels, data.yaml, and scores.csv with a row per box.

    Args:
        frames: What to label.
        teacher: A detector, loaded with a threshold at or below ``wishes.conf``.
        out: Folder to make; it appears when everything in it is complete.
        wishes: What to take.
        tick: Called after every frame.

    Returns:
        Number of pictures, and of boxes.

    Raises:
        DataError: ``out`` is there already, nothing was labelled, or it cannot be written.
        ModelError: The teacher is no detector or lacks a class.
    """
    kept = _class_map(teacher, wishes.classes)
    if out.exists():
        raise DataError(f"{out} is there already; choose another --out")
    work = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    try:
        (work / "images").mkdir(parents=True)
        (work / "labels").mkdir()
        pictures, rows = 0, []
        for frame in _differing(frames, wishes, tick):
            found = look(teacher, frame.image, wishes)
            name = f"{pictures:06}"
            rows += _write(work, name, frame.image, found, kept)
            pictures += 1
            if pictures == wishes.limit:
                break
        if not pictures:
            raise DataError("the source gave no frame to label")
        _write_tables(work, rows, [teacher.labels[i] for i in kept])
        work.rename(out)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return pictures, len(rows)


def look(teacher: Model, image: Image, wishes: Wishes) -> Detections:
    """What the teacher finds in a frame, over all views of it.

    Args:
        teacher: A detector.
        image: (H, W, 3) uint8 BGR.
        wishes: Threshold, and whether to look at parts.
    """
    boxes, scores, class_ids = [], [], []
    height, width = image.shape[:2]
    for x1, y1, x2, y2 in _views(width, height, parts=wishes.parts):
        part = image[y1:y2, x1:x2]
        for mirrored in (False, True):
            found = teacher.predict(np.ascontiguousarray(part[:, ::-1] if mirrored else part))
            assert isinstance(found, Detections)
            seen = found.boxes
            if mirrored:
                seen = np.stack(
                    [x2 - x1 - seen[:, 2], seen[:, 1], x2 - x1 - seen[:, 0], seen[:, 3]], 1
                )
            whole = _uncut(seen, (x1, y1, x2, y2), (width, height)) & (found.scores >= wishes.conf)
            boxes.append(seen[whole] + np.array([x1, y1, x1, y1], np.float32))
            scores.append(found.scores[whole])
            class_ids.append(found.class_ids[whole])
    every, score, said = np.concatenate(boxes), np.concatenate(scores), np.concatenate(class_ids)
    best = nms(every, score, said, _IOU, len(every)) if len(every) else np.zeros(0, np.int64)
    return Detections(every[best], score[best], said[best], teacher.labels)


def _views(width: int, height: int, *, parts: bool) -> list[tuple[int, int, int, int]]:
    views = [(0, 0, width, height)]
    if parts:
        w, h = max(1, round(width * _PART)), max(1, round(height * _PART))
        views += [(x, y, x + w, y + h) for y in (0, height - h) for x in (0, width - w)]
    return views


def _uncut(
    boxes: Floats, view: tuple[int, int, int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """Which boxes do not end where the view was cut out of the frame."""
    x1, y1, x2, y2 = view
    far = (x2 - x1, y2 - y1)
    dx, dy = _MARGIN * far[0], _MARGIN * far[1]
    keep = np.ones(len(boxes), bool)
    if x1 > 0:
        keep &= boxes[:, 0] > dx
    if y1 > 0:
        keep &= boxes[:, 1] > dy
    if x2 < size[0]:
        keep &= boxes[:, 2] < far[0] - dx
    if y2 < size[1]:
        keep &= boxes[:, 3] < far[1] - dy
    return keep


def _differing(
    frames: Iterable[Frame], wishes: Wishes, tick: Callable[[], object]
) -> Iterator[Frame]:
    last: Floats | None = None
    for frame in frames:
        small = cv2.resize(frame.image, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
        seen = np.asarray(small, np.float32) / np.float32(255)
        if last is None or np.abs(seen - last).mean() >= wishes.change:
            last = seen
            yield frame
        tick()


def _class_map(teacher: Model, classes: Sequence[str]) -> list[int]:
    if teacher.manifest.task != "detect":
        raise ModelError(f"a teacher must be a detector; this is a {teacher.manifest.task} model")
    for name in classes:
        if name not in teacher.labels:
            raise ModelError(
                f"the teacher has no class {name!r}{suggestion(name, list(teacher.labels))}"
            )
    return [teacher.labels.index(name) for name in classes or teacher.labels]


def _write(
    work: Path, name: str, image: Image, found: Detections, kept: list[int]
) -> list[list[str]]:
    if not cv2.imwrite(
        str(work / "images" / f"{name}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    ):
        raise OSError(f"OpenCV could not write {name}.jpg")
    height, width = image.shape[:2]
    lines, rows = [], []
    for box, score, class_id in zip(found.boxes, found.scores, found.class_ids, strict=True):
        if int(class_id) not in kept:
            continue
        x1, y1, x2, y2 = (float(v) for v in box)
        middle = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height)
        shares = (*middle, (x2 - x1) / width, (y2 - y1) / height)
        number = kept.index(int(class_id))
        lines.append(f"{number} " + " ".join(f"{v:.6f}" for v in shares))
        rows.append([f"{name}.jpg", str(number), f"{score:.4f}", *(f"{v:.1f}" for v in box)])
    (work / "labels" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))
    return rows


def _write_tables(work: Path, rows: list[list[str]], names: list[str]) -> None:
    document = {"path": ".", "train": "images", "names": names}
    (work / "data.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    with (work / "scores.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["picture", "class_id", "score", "x1", "y1", "x2", "y2"])
        writer.writerows(rows)
