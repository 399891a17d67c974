"""A data set that is being labelled: what is written after each picture, to go on from there."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import yaml

from edgenn.bundle.store import write_text
from edgenn.runtime.model import Model
from edgenn.types import Detections, Floats, Image

_QUALITY = 92
_STATE, _SCORES = "state.json", "scores.csv"
_HEAD = ["picture", "class_id", "score", "x1", "y1", "x2", "y2"]


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


class Unfinished:
    """A folder that becomes a YOLO data set.

    Args:
        folder: Where to work. What lies there is gone on with if it was made by the
            same teacher with the same wishes, and removed otherwise.
        teacher: Who labels.
        wishes: What to take.

    Attributes:
        folder: As given.
        pictures: How many are written.
        frames: Frames of the source that are dealt with.
        last: Thumbnail of the last frame taken.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path, teacher: Model, wishes: Wishes) -> None:
        self.folder = folder
        self.pictures = self.frames = 0
        self.last: Floats | None = None
        self._boxes = 0
        key = {**asdict(wishes), "classes": list(wishes.classes), "teacher": teacher.variant.sha256}
        self._key: dict[str, object] = key
        if not self._restored():
            shutil.rmtree(folder, ignore_errors=True)
            for name in ("images", "labels"):
                (folder / name).mkdir(parents=True)
            self._append([_HEAD])

    def _restored(self) -> bool:
        try:
            state = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if state["key"] != self._key:
            return False
        self.pictures, self.frames, self._boxes = state["done"]
        self.last = np.asarray(state["last"], np.float32)
        # Rows of a picture that was not finished.
        scores = self.folder / _SCORES
        rows = scores.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(scores, "".join(rows[: 1 + self._boxes]))
        return True

    def _append(self, rows: list[list[str]]) -> None:
        with (self.folder / _SCORES).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)

    def add(self, image: Image, found: Detections, kept: Sequence[int]) -> None:
        """Write a picture with its boxes.

        Args:
            image: (H, W, 3) uint8 BGR.
            found: What the teacher says of it.
            kept: Class ids of the teacher to keep, in their new order.
        """
        name = f"{self.pictures:06}"
        path = self.folder / "images" / f"{name}.jpg"
        if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]):
            raise OSError(f"OpenCV could not write {path.name}")
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
            rows.append([path.name, str(number), f"{score:.4f}", *(f"{v:.1f}" for v in box)])
        write_text(self.folder / "labels" / f"{name}.txt", "".join(f"{line}\n" for line in lines))
        self._append(rows)
        self.pictures += 1
        self._boxes += len(rows)
        assert self.last is not None
        done = [self.pictures, self.frames, self._boxes]
        state = {"key": self._key, "done": done, "last": self.last.tolist()}
        write_text(self.folder / _STATE, json.dumps(state))

    def finish(self, names: Sequence[str], out: Path) -> int:
        """Write data.yaml and move all to ``out``; the number of boxes."""
        document = {"path": ".", "train": "images", "names": list(names)}
        text = yaml.safe_dump(document, sort_keys=False)
        (self.folder / "data.yaml").write_text(text, encoding="utf-8")
        (self.folder / _STATE).unlink()
        self.folder.rename(out)
        return self._boxes
