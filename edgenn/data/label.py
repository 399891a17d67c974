"""Labels for pictures that have none, from a larger model: pseudo-labels.

Lee 2013, "Pseudo-Label". The teacher looks at every frame whole and in
overlapping parts, each also mirrored, and what it says is joined: test-time
augmentation finds more small objects than one look.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.data._unfinished import Unfinished, Wishes
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


def label(
    frames: Iterable[Frame],
    teacher: Model,
    out: Path,
    wishes: Wishes,
    tick: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Write a YOLO data set: images, labels, data.yaml, and scores.csv with a row per box.

    Interrupted, it leaves its work in a hidden folder beside ``out``; the same call
    goes on from there and ends in the same data set.

    Args:
        frames: What to label, from its beginning.
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
    try:
        work = Unfinished(out.with_name(f".{out.name}.part"), teacher, wishes)
        for frame in _differing(frames, work, wishes, tick):
            work.add(frame.image, look(teacher, frame.image, wishes), kept)
        if not work.pictures:
            shutil.rmtree(work.folder)
            raise DataError("the source gave no frame to label")
        boxes = work.finish([teacher.labels[i] for i in kept], out)
    except OSError as error:
        raise DataError(f"cannot write {out}: {error.strerror or error}") from error
    return work.pictures, boxes


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
    frames: Iterable[Frame], work: Unfinished, wishes: Wishes, tick: Callable[[], object]
) -> Iterator[Frame]:
    """Frames that are unlike the last one taken, from where the work was left."""
    for number, frame in enumerate(frames):
        if wishes.limit and work.pictures >= wishes.limit:
            return
        if number >= work.frames:
            small = cv2.resize(frame.image, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
            seen = np.asarray(small, np.float32) / np.float32(255)
            if work.last is None or np.abs(seen - work.last).mean() >= wishes.change:
                work.last, work.frames = seen, number + 1
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


__all__ = ["Wishes", "label", "look"]
