"""YOLOv8, v9, 11 and 12 as ultralytics exports them (https://docs.ultralytics.com/modes/export).

One tensor ``rows`` (1, 4 + C + E, N), or (1, N, 4 + C + E): centre x and y, width and height of
the box in net pixels, or on 0..1 in TFLite files; a score 0..1 per class; then nothing more, or
K key points of 2 or 3 numbers each (pose), or 32 coefficients of a mask, which are left out. N runs
over the grids of stride 8, 16 and 32; or over the 300 queries of an RT-DETR.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    UNIT,
    Candidates,
    Count,
    Keypoints,
    Share,
    are_shares,
    from_middle,
    have_class,
    is_rtdetr,
    keypoints,
    kpt_shape,
    sound,
    tensor,
)
from edgenn.ops.decode._grid import cell_count
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Coefficients per mask of all sizes.
MASKS = 32
# Boxes that an RT-DETR of ultralytics gives, in the same columns.
_QUERIES = 300
# Of one person with the key points of COCO.
_POSE = (17, 3)
_POSE_COLUMNS = 4 + 1 + 17 * 3
# Strides of the usual nets, and of those with a grid more for large or for small things.
_GRIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
        normalized: Boxes are on 0..1; None finds out with the first that count.
        keypoints: Number of key points, and numbers of each, 2 or 3; 0 of them: none.
        rest: Numbers after the classes that mean nothing here.
    """

    conf: Share = 0.25
    iou: Share = 0.6
    max_det: Count = 300
    candidates: Candidates = 300
    normalized: bool | None = None
    keypoints: Keypoints = (0, 3)
    rest: Annotated[int, Field(ge=0, le=10_000)] = 0


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "yolov8")
    sides = np.array([size[1], size[0]], np.float32)
    count, each = p.keypoints
    classes = len(labels)
    columns = 4 + classes + count * each + p.rest
    is_unit = p.normalized

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        nonlocal is_unit
        values = _columns(tensor(outputs, "rows", "yolov8"), columns)
        block = values[4 : 4 + classes]
        # Comparing costs less than looking for the best class of each cell.
        class_ids, cells, best = above(block, p.conf)
        cells, class_ids, best = strongest(cells, class_ids, best, p.candidates)
        boxes, points = values[:4, cells].T, values[4 + classes :, cells].T[:, : count * each]
        good = sound(boxes, points)
        if not good.all():
            boxes, points = boxes[good], points[good]
            best, class_ids = best[good], class_ids[good]
        if not len(best):
            return Detections.empty(labels)
        if is_unit is None:
            is_unit = bool(boxes.max() <= UNIT)
        unit = sides if is_unit else np.ones(2, np.float32)
        corners = from_middle(boxes * np.tile(unit, 2))
        shown = keypoints(points.reshape(-1, count, each), unit) if count else None
        found = corners, best.clip(max=1), class_ids
        return finish(found, p, labels, geometry, shown)

    return decode


def _columns(values: Floats, columns: int) -> Floats:
    """The tensor as (columns, N), a view.

    Raises:
        ModelError: It has another shape.
    """
    if values.ndim == 3 and values.shape[0] == 1 and values.size:
        if values.shape[1] == columns:
            return np.asarray(values[0])
        if values.shape[2] == columns:
            return np.asarray(values[0].T)
    raise ModelError(
        f"the model gives {values.shape}; the yolov8 layout needs (1, {columns}, N) or "
        f"(1, N, {columns})"
    )


def recognise(file: Foreign) -> Match | None:
    """One output of 4 + C by the cells of the grids, either way round."""
    shapes = {name: s for name, s in file.outputs.items() if len(s) == 3 and s[0] in (1, -1)}
    counts = {cell_count(file.size, strides) for strides in _GRIDS}
    fitting = {
        name: shape[1:] if shape[2] in counts else shape[:0:-1]
        for name, shape in shapes.items()
        if counts & set(shape[1:])
    }
    task = file.metadata.get("task", "")
    if task == "detect" and list(shapes.values()) == [(1, _QUERIES, 4 + file.labels)]:
        return _queries(file, next(iter(shapes)))
    if len(fitting) != 1 or task in ("obb", "classify"):
        return None
    (name, (columns, cells)), *_ = fitting.items()
    count, each = kpt_shape(file) if task == "pose" else (0, 3)
    is_pose = not task and columns == _POSE_COLUMNS and file.labels <= 1
    if is_pose:
        count, each = _POSE
    has_masks = task == "segment" or any(
        len(shape) == 4 and MASKS in shape[1:] for shape in file.outputs.values()
    )
    rest = MASKS if has_masks else 0
    classes = columns - 4 - count * each - rest
    if classes < 1:
        return None
    # Row by row and with objectness in the fifth column it may as well be a YOLOX, whose grid is
    # the same.
    is_planar = file.outputs[name][2] == cells != columns
    sure = bool(task) or is_planar or columns == 84 or file.labels == classes
    extra = f", {count} key points" if count else ", masks are left out" if has_masks else ""
    return Match(
        outputs={"rows": name},
        classes=classes,
        why=f"output {file.outputs[name]}: 4 + {classes} classes in {cells} cells{extra}",
        sure=sure,
        params={"keypoints": (count, each), "rest": rest} if count or rest else {},
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
        labels=("person",) if is_pose else (),
    )


def _queries(file: Foreign, name: str) -> Match | None:
    """An RT-DETR: boxes on 0..1 that overlap no more, of pictures that are stretched."""
    # With two classes it is a list of corners, scores and classes as well; see `fits`.
    if not file.labels or (file.labels == 2 and is_rtdetr(file) is False):
        return None
    return Match(
        outputs={"rows": name},
        classes=file.labels,
        why=f"output {file.outputs[name]}: 4 + {file.labels} classes of {_QUERIES} queries",
        params={"normalized": True, "iou": 1.0},
        fit="stretch",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether scores lie on 0..1: an angle or places of key points do not.

    Queries hold boxes on 0..1 too, and not corners, a score and a class.
    """
    values = [sample["rows"] for sample in samples]
    if not match.params.get("normalized"):
        count, each = match.params.get("keypoints", (0, 3))
        columns = 4 + match.classes + count * each + match.params.get("rest", 0)
        return all(are_shares(_columns(v, columns)[4 : 4 + match.classes]) for v in values)
    return all(map(are_shares, values)) and not all(map(have_class, values))
