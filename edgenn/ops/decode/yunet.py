"""YuNet, Wu et al. 2023 (https://doi.org/10.1007/s11633-023-1423-y), the faces of OpenCV's zoo.

For each stride s of 8, 16 and 32, with N the cells of its grid, row by row:

- ``classes_s`` and ``objects_s`` (1, N, 1): 0..1; the root of their product is the score.
- ``boxes_s`` (1, N, 4): centre x and y in cells from the cell's corner, logarithm of width and
  height in cells.
- ``points_s`` (1, N, 10): x and y of both eyes, the nose and the corners of the mouth, in cells
  from the cell's corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    Candidates,
    Count,
    Share,
    Strides,
    by_stride,
    from_middle,
    grids,
    sound,
)
from edgenn.ops.decode._grid import MAX_LOG, cell_count, centers, points_of
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

_STRIDES = (8, 16, 32)
_POINTS = 5


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        strides: Net pixels per cell of each grid.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    strides: Strides = _STRIDES
    conf: Share = 0.6
    iou: Share = 0.3
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "yunet")
    counts = {stride: cell_count(size, (stride,)) for stride in p.strides}
    middles, steps = centers(size, p.strides)
    corners = middles - steps / 2

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        def joined(name: str, width: int) -> Floats:
            return grids(outputs, name, "yunet", counts, width)

        shares = joined("classes", 1)[:, 0].clip(0, 1) * joined("objects", 1)[:, 0].clip(0, 1)
        scores = np.sqrt(shares)
        boxes, points = joined("boxes", 4), joined("points", 2 * _POINTS)
        hits = np.flatnonzero((scores >= p.conf) & sound(boxes, points))
        hits, ids, best = strongest(hits, np.zeros_like(hits), scores[hits], p.candidates)
        if not len(best):
            return Detections.empty(labels)
        corner, step, box = corners[hits], steps[hits], boxes[hits]
        sides = np.exp(box[:, 2:].clip(max=MAX_LOG)) * step
        found = from_middle(np.concatenate([corner + box[:, :2] * step, sides], 1))
        shown = points_of(points[hits], corner, step, best)
        return finish((found, best, ids), p, labels, geometry, shown)

    return decode


def recognise(file: Foreign) -> Match | None:
    """For each of three strides two outputs (1, N, 1), and (1, N, 4) and (1, N, 10)."""
    counts = {stride: cell_count(file.size, (stride,)) for stride in _STRIDES}
    # Both kinds of scores are multiplied, so their order does not matter.
    widths = {"classes": 1, "objects": 1, "boxes": 4, "points": 2 * _POINTS}
    named = by_stride(file, counts, widths)
    if not named:
        return None
    return Match(
        outputs=named,
        classes=1,
        why=f"scores, boxes and {_POINTS} points for strides {_STRIDES}, as a YuNet has",
        fit="letterbox-start",
        color="bgr",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        pad=0,
        labels=("face",),
    )
