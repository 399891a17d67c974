"""YOLOX, Ge et al. 2021 (https://arxiv.org/abs/2107.08430), as its export leaves it.

One tensor (1, N, 5 + C): centre x and y in cells from the cell's corner,
logarithm of width and height in cells, objectness 0..1, and the score of each
class 0..1; or, where the file decodes its boxes itself, centre, width and height
in net pixels. N runs over the strides in the given order, each grid row by row.
The score of a box is objectness times class score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import are_shares, from_middle, sound, stacked
from edgenn.ops.decode._grid import MAX_LOG, cells_off
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Cells that boxes may be off theirs.
_NEAR = 1.5


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        strides: Net pixels per cell of each grid.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
        decoded: Boxes are in net pixels already.
    """

    strides: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (8, 16, 32)
    conf: Annotated[float, Field(ge=0, le=1)] = 0.3
    iou: Annotated[float, Field(ge=0, le=1)] = 0.6
    max_det: Annotated[int, Field(gt=0)] = 100
    candidates: Annotated[int, Field(gt=0, le=3000)] = 300
    decoded: bool = False


def corners(size: tuple[int, int], strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Top left corners of all cells, (N, 2) x y in cells, and their strides (N, 1)."""
    points, scales = [], []
    for stride in strides:
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride].astype(np.float32)
        points.append(np.stack([x, y], -1).reshape(-1, 2))
        scales.append(np.full((x.size, 1), stride, np.float32))
    return np.concatenate(points), np.concatenate(scales)


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "yolox")
    points, scales = corners(size, p.strides)
    shape = (len(points), 5 + len(labels))

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        rows = next(iter(outputs.values()))[0]
        if rows.shape != shape:
            raise ModelError(
                f"the model gives {rows.shape}; the yolox layout of a {size[0]}x{size[1]} input "
                f"with strides {p.strides} and {len(labels)} labels needs {shape}"
            )
        # No class score is above 1, so objectness alone rules most cells out.
        hopeful = np.flatnonzero(rows[:, 4] >= p.conf)
        hopeful = hopeful[sound(rows[hopeful, :5])]
        with np.errstate(invalid="ignore"):
            scored = rows[hopeful, 5:] * rows[hopeful, 4:5]
        cells, class_ids, best = above(scored, p.conf)
        cells, class_ids, best = strongest(hopeful[cells], class_ids, best, p.candidates)
        if not len(best):
            return Detections.empty(labels)
        boxes = rows[cells, :4]
        if not p.decoded:
            middle = (boxes[:, :2] + points[cells]) * scales[cells]
            sides = np.exp(boxes[:, 2:].clip(max=MAX_LOG)) * scales[cells]
            boxes = np.concatenate([middle, sides], 1)
        boxes = from_middle(boxes)
        return finish((boxes, best.clip(max=1), class_ids), p, labels, geometry)

    return decode


def recognise(file: Foreign) -> Match | None:
    """One output (1, N, 5 + C) with as many rows as three grids have cells."""
    strides = (8, 16, 32)
    cells = sum((file.size[0] // s) * (file.size[1] // s) for s in strides)
    shapes = {name: s for name, s in file.outputs.items() if len(s) == 3 and s[1] == cells}
    if len(shapes) != 1 or file.metadata.get("task") or any(side % 32 for side in file.size):
        return None
    (name, shape), *_ = shapes.items()
    classes = shape[2] - 5
    if classes < 1:
        return None
    return Match(
        outputs={"rows": name},
        classes=classes,
        why=f"output {shape}: 5 + {classes} numbers for each of {cells} cells",
        # With the classes of COCO it is no YOLOv8, which has 84 columns; YOLOv6 has the other name.
        sure=(shape[2] == 85 or file.labels == classes) and name != "outputs",
        fit="letterbox-start",
        color="bgr",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )


def settle(
    match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]
) -> tuple[Match, str]:
    """Tell by where boxes lie whether they are decoded: nets put them near their cell."""
    off = _off(samples, size)
    decoded = off["pixels"] < off["cells"]
    why = "boxes lie about their cells " + ("in pixels" if decoded else "once decoded")
    return replace(match, params={**match.params, "decoded": decoded}), why


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether objectness and scores lie on 0..1."""
    del match
    return all(are_shares(sample["rows"][..., 4:]) for sample in samples)


def shows(match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> bool:
    """Whether boxes are to be decoded yet, which is so in no other layout of as many rows."""
    del match
    if all(are_shares(sample["rows"][..., 2:4]) for sample in samples):
        return False  # no logarithms
    off = _off(samples, size)
    return off["cells"] < _NEAR and 2 * off["cells"] < min(off["pixels"], off["shares"])


def _off(samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> dict[str, float]:
    """How many cells boxes are off theirs, if they are given in cells, pixels or on 0..1."""
    strides = Params().strides
    points, scales = corners(size, strides)
    middles = stacked(samples, "rows")[:, 0, :, :2]
    places = {
        "cells": (middles + points) * scales,
        "pixels": middles,
        "shares": middles * np.array(size[::-1], np.float32),
    }
    return {unit: cells_off(v, size, strides) for unit, v in places.items()}
