"""YOLOv5, v6 and v7 as their own export.py leaves them (https://github.com/ultralytics/yolov5).

One tensor ``rows`` (1, N, 5 + C + E): centre x and y, width and height of the box in net pixels,
or on 0..1 in TFLite files; objectness 0..1; a score 0..1 per class; then nothing more, or 32
coefficients of a mask, which are left out. The score of a box is objectness times class score. N
runs over three anchors in every cell of the grids of stride 8, 16 and 32 (and 64), in YOLOv6 over
the cells; nothing of that is needed here, as the file decodes the boxes itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    UNIT,
    Candidates,
    Count,
    Share,
    are_shares,
    from_middle,
    rows,
    sound,
)
from edgenn.ops.decode._grid import cell_count
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Coefficients per mask of all sizes.
MASKS = 32
ANCHORS = 3
_COCO = 80
# YOLOv6 has an objectness of 1, and as many rows as a YOLOX, whose boxes are not decoded.
_V6 = "outputs"


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
        normalized: Boxes are on 0..1; None finds out with the first that count.
        rest: Numbers after the classes that mean nothing here.
    """

    conf: Share = 0.25
    iou: Share = 0.45
    max_det: Count = 300
    candidates: Candidates = 300
    normalized: bool | None = None
    rest: Annotated[int, Field(ge=0, le=10_000)] = 0


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "yolov5")
    sides = np.array([size[1], size[0]] * 2, np.float32)
    last = 5 + len(labels)
    is_unit = p.normalized

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        nonlocal is_unit
        values = rows(outputs, "rows", "yolov5", (None, last + p.rest))
        # No class score is above 1, so objectness alone rules most rows out.
        hopeful = np.flatnonzero(values[:, 4] >= p.conf)
        hopeful = hopeful[sound(values[hopeful, :5])]
        with np.errstate(invalid="ignore"):
            scored = values[hopeful, 5:last] * values[hopeful, 4:5]
        hits, class_ids, best = above(scored, p.conf)
        hits, class_ids, best = strongest(hopeful[hits], class_ids, best, p.candidates)
        if not len(best):
            return Detections.empty(labels)
        boxes = values[hits, :4]
        if is_unit is None:
            is_unit = bool(boxes.max() <= UNIT)
        found = from_middle(boxes * sides if is_unit else boxes), best.clip(max=1), class_ids
        return finish(found, p, labels, geometry)

    return decode


def recognise(file: Foreign) -> Match | None:
    """One output (1, N, 5 + C) with three rows for each cell of the grids, or one."""
    counts = {
        times * cell_count(file.size, strides): times
        for times in (1, ANCHORS)
        for strides in ((8, 16, 32), (8, 16, 32, 64), (16, 32))
    }
    fitting = {
        name: shape
        for name, shape in file.outputs.items()
        if len(shape) == 3 and shape[0] in (1, -1) and shape[1] in counts
    }
    if len(fitting) != 1 or file.metadata.get("task"):
        return None
    (name, shape), *_ = fitting.items()
    # Its heads may come along, as maps. With another list of as many rows it is something else.
    if any(shape[1] in other[1:3] for n, other in file.outputs.items() if n != name):
        return None
    has_masks = any(len(other) == 4 and MASKS in other[1:] for other in file.outputs.values())
    rest = MASKS if has_masks else 0
    classes = shape[2] - 5 - rest
    if classes < 1:
        return None
    times = counts[shape[1]]
    return Match(
        outputs={"rows": name},
        classes=classes,
        why=f"output {shape}: 5 + {classes} numbers for {times} boxes in each of "
        f"{shape[1] // times} cells" + (", masks are left out" if has_masks else ""),
        sure=times == ANCHORS or (name == _V6 and classes == (file.labels or _COCO)),
        params={"rest": rest} if rest else {},
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether objectness and scores lie on 0..1: places of key points do not."""
    last = 5 + match.classes
    return all(are_shares(sample["rows"][..., 4:last]) for sample in samples)
