"""NanoDet and NanoDet-Plus as their export_onnx.py leaves them (github.com/RangiLyu/nanodet).

One tensor ``rows`` (1, N, C + 4 * (R + 1)): a score 0..1 per class, then the logits of the
distances to the left, top, right and bottom edge (see `edgenn.ops.decode._integral`). N runs over
the strides in the given order, each grid row by row. Distances are taken from the middle of a cell
by NanoDet, and from its top left corner by NanoDet-Plus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import IMAGENET, Candidates, Count, Share, Strides, rows, sound
from edgenn.ops.decode._grid import cell_count, centers
from edgenn.ops.decode._integral import boxes as to_boxes
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

_COCO = 80
# R of the small nets, and of those on RepVGG and EfficientNet-Lite.
_REACHES = (7, 10)


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        strides: Net pixels per cell of each grid.
        reach: Largest distance in cells, R.
        offset: Where in its cell a point lies, 0 (its corner) to 1.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    strides: Strides = (8, 16, 32, 64)
    reach: Annotated[int, Field(gt=0, le=64)] = 7
    offset: Share = 0.0
    conf: Share = 0.35
    iou: Share = 0.6
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "nanodet")
    middles, strides = centers(size, p.strides)
    points = middles + (p.offset - 0.5) * strides
    classes = len(labels)
    shape = (len(points), classes + 4 * (p.reach + 1))

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        values = rows(outputs, "rows", "nanodet", shape)
        scores = values[:, :classes]
        # Only what passes goes through the softmax.
        hits, ids, best = strongest(*above(scores, p.conf), p.candidates)
        boxes = to_boxes(values[hits, classes:], points[hits], strides[hits])
        good = sound(boxes)
        if not good.any():
            return Detections.empty(labels)
        found = boxes[good], best[good].clip(max=1), ids[good]
        return finish(found, p, labels, geometry)

    return decode


def recognise(file: Foreign) -> Match | None:
    """One output (1, N, C + 4 * (R + 1)) with a row for each cell of three or four grids."""
    if len(file.outputs) != 1 or file.metadata.get("task"):
        return None
    ((name, shape),) = file.outputs.items()
    if len(shape) != 3 or shape[0] not in (1, -1):
        return None
    grids = [s for s in ((8, 16, 32, 64), (8, 16, 32)) if cell_count(file.size, s) == shape[1]]
    # With few columns it is a YOLO of as many cells.
    reaches = [r for r in _REACHES if shape[2] - 4 * (r + 1) in (file.labels or _COCO, _COCO)]
    likely = [r for r in reaches if not file.labels or shape[2] - 4 * (r + 1) == file.labels]
    reach = (likely or reaches or [_REACHES[0]])[0]
    classes = shape[2] - 4 * (reach + 1)
    if not grids or classes < 1:
        return None
    is_plus = len(grids[0]) == 4
    return Match(
        outputs={"rows": name},
        classes=classes,
        why=f"output {shape}: {classes} classes and 4 x {reach + 1} numbers for each of "
        f"{shape[1]} cells, as a NanoDet{'-Plus' if is_plus else ''} has",
        sure=bool(likely),
        params={"strides": grids[0], "reach": reach, "offset": 0.0 if is_plus else 0.5},
        fit="stretch" if is_plus else "letterbox",
        color="bgr",
        mean=IMAGENET[0][::-1],
        std=IMAGENET[1][::-1],
        pad=0,
    )
