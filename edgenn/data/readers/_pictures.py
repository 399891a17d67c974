"""The second half of all picture readers: from what label files say to checked samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Picture, Raw, Side
from edgenn.data.images import Facts, inspect
from edgenn.data.readers._site import Site, choose_labels, settle_sides
from edgenn.errors import DataError
from edgenn.ops.boxes import area
from edgenn.types import Floats

# Tools round corners, and some count pixels from 1.
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a label file says of one picture.

    Attributes:
        path: The picture file; it need not exist.
        names: Class of each box, or the one class of the picture.
        boxes: (N, 4) x1 y1 x2 y2; (0, 4) for classifiers.
        side: "train", "val", "test" or nothing.
        shares: Boxes are shares of the sides, 0..1, not pixels.
        stated: Height, width that the labels were made for; 0 where not said.
    """

    path: Path
    names: Sequence[str]
    boxes: NDArray[np.floating[Any]]
    side: str = ""
    shares: bool = False
    stated: tuple[int, int] = (0, 0)


def no_boxes() -> Floats:
    """Zero boxes."""
    return np.zeros((0, 4), np.float32)


def finish(site: Site, drafts: Iterable[Draft], found: Iterable[str]) -> Raw:
    """Check pictures and boxes, and bring all to the form that training uses.

    Args:
        site: Where the data lies.
        drafts: One per picture.
        found: All classes of the data, in its order.

    Raises:
        DataError: No classes, or not the ones that the recipe wants.
    """
    labels = choose_labels(found, site.spec)
    sided = settle_sides([(draft.side, draft) for draft in drafts])
    facts = inspect([draft.path for _, draft in sided], site.progress)
    maker = _Maker(site, labels)
    made = [maker.make(draft, facts[draft.path], side) for side, draft in sided]
    pictures = tuple(picture for picture in made if picture is not None)
    return Raw(labels, pictures=pictures, problems=tuple(site.problems))


class _Maker:
    """Makes pictures of drafts, and remembers which were there."""

    def __init__(self, site: Site, labels: tuple[str, ...]) -> None:
        self._site = site
        self._ids = {name: i for i, name in enumerate(labels)}
        self._seen: dict[str, Picture] = {}

    def make(self, draft: Draft, facts: Facts, side: Side) -> Picture | None:
        """One picture; None, and a problem, where it cannot be used."""
        try:
            picture, cut = self._picture(draft, facts, side)
        except DataError as error:
            self._site.report(draft.path, str(error))
            return None
        if not self._is_new(facts.digest, picture):
            return None
        if cut:
            self._site.report(draft.path, cut, mended=True)
        return picture

    def _picture(self, draft: Draft, facts: Facts, side: Side) -> tuple[Picture, str]:
        if facts.fault:
            raise DataError(facts.fault)
        _check_stated(draft.stated, facts.size)
        boxes, cut = fit(_pixels(draft, facts.size), facts.size)
        used = [i for i, name in enumerate(draft.names) if name in self._ids]
        class_ids = np.array([self._ids[draft.names[i]] for i in used], np.int64)
        if len(boxes):
            boxes = boxes[used]
        return Picture(draft.path, class_ids, boxes, self._site.group(draft.path), side), cut

    def _is_new(self, digest: str, picture: Picture) -> bool:
        first = self._seen.setdefault(digest, picture)
        if first is picture:
            return True
        name = self._site.name(first.path)
        same = np.array_equal(first.class_ids, picture.class_ids)
        if same and np.array_equal(first.boxes, picture.boxes):
            self._site.report(picture.path, f"duplicate of {name}; left out", mended=True)
        else:
            self._site.report(picture.path, f"duplicate of {name} with other labels")
        return False


def fit(boxes: NDArray[np.floating[Any]], size: tuple[int, int]) -> tuple[Floats, str]:
    """Cut boxes to their picture.

    A box that has at least half of its area in the picture is cut; labelling
    tools let people draw over the edge.

    Args:
        boxes: (N, 4) x1 y1 x2 y2 in pixels.
        size: Height, width of the picture.

    Returns:
        (N, 4) float32 boxes, and what was cut; nothing for a pixel of rounding.

    Raises:
        DataError: A box without area, or mostly outside the picture.
    """
    limits = np.array([size[1], size[0]] * 2, np.float32)
    cut = boxes.clip(0, limits).astype(np.float32)
    said = ""
    for i, (box, inside) in enumerate(zip(boxes, cut, strict=True)):
        corners = " ".join(f"{v:.0f}" for v in box)
        where = f"box {i + 1} ({corners})"
        if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise DataError(f"{where} has no area")
        if area(inside[None])[0] < 0.5 * area(box[None].astype(np.float32))[0]:
            raise DataError(f"{where} lies outside the picture of {size[1]} x {size[0]} pixels")
        if np.abs(box - inside).max() > _ROUNDING and not said:
            said = f"{where} lies partly outside the picture of {size[1]} x {size[0]}; it was cut"
    return cut, said


def _pixels(draft: Draft, size: tuple[int, int]) -> NDArray[np.floating[Any]]:
    return draft.boxes * np.array([size[1], size[0]] * 2) if draft.shares else draft.boxes


def _check_stated(stated: tuple[int, int], size: tuple[int, int]) -> None:
    if 0 in stated or max(abs(stated[0] - size[0]), abs(stated[1] - size[1])) <= _ROUNDING:
        return
    said = f"its labels are for {stated[1]} x {stated[0]} pixels, it has {size[1]} x {size[0]}"
    if stated == (size[1], size[0]):
        said += "; they were made without regard to its EXIF rotation"
    raise DataError(said)
