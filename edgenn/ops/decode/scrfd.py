"""SCRFD, Guo et al. 2021 (https://arxiv.org/abs/2105.04714), the faces of InsightFace.

For each stride s of 8, 16 and 32, with N rows for two anchors in each cell of its grid, row by row:

- ``scores_s`` (N, 1): probabilities.
- ``boxes_s`` (N, 4): distances in cells from the cell's corner to the left, top, right and bottom.
- ``points_s`` (N, 10), optional: x and y of both eyes, the nose and the corners of the mouth, in
  cells from the cell's corner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import Candidates, Count, Share, Strides, by_stride, grids, sound
from edgenn.ops.decode._grid import cell_count, centers, points_of
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

_STRIDES = (8, 16, 32)
_ANCHORS = 2
_POINTS = 5


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        strides: Net pixels per cell of each grid.
        points: Whether there are key points.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    strides: Strides = _STRIDES
    points: bool = True
    conf: Share = 0.5
    iou: Share = 0.4
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "scrfd")
    counts = _counts(size, p.strides)
    middles, scales = centers(size, p.strides)
    steps = np.repeat(scales, _ANCHORS, axis=0)
    corners = np.repeat(middles - scales / 2, _ANCHORS, axis=0)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        def joined(name: str, width: int) -> Floats:
            return grids(outputs, name, "scrfd", counts, width)

        scores, reach = joined("scores", 1)[:, 0], joined("boxes", 4)
        points = joined("points", 2 * _POINTS) if p.points else reach[:, :0]
        hits = np.flatnonzero((scores >= p.conf) & sound(scores, reach, points))
        best = scores[hits].clip(max=1)
        hits, ids, best = strongest(hits, np.zeros_like(hits), best, p.candidates)
        if not len(best):
            return Detections.empty(labels)
        corner, step = corners[hits], steps[hits]
        far = reach[hits] * step
        boxes = np.concatenate([corner - far[:, :2], corner + far[:, 2:]], 1)
        shown = points_of(points[hits], corner, step, best) if p.points else None
        return finish((boxes, best, ids), p, labels, geometry, shown)

    return decode


def recognise(file: Foreign) -> Match | None:
    """For each of three strides (N, 1) and (N, 4), and also (N, 10) where there are points."""
    widths = {"scores": 1, "boxes": 4, "points": 2 * _POINTS}
    has_points = len(file.outputs) == len(widths) * len(_STRIDES)
    if not has_points:
        del widths["points"]
    named = by_stride(file, _counts(file.size, _STRIDES), widths)
    if not named:
        return None
    return Match(
        outputs=named,
        classes=1,
        why=f"scores{', boxes and points' if has_points else ' and boxes'} of {_ANCHORS} anchors "
        f"for strides {_STRIDES}, as an SCRFD has",
        params={"points": has_points},
        fit="letterbox-start",
        mean=(127.5,) * 3,
        std=(128.0,) * 3,
        pad=0,
        labels=("face",),
    )


def _counts(size: tuple[int, int], strides: tuple[int, ...]) -> dict[int, int]:
    return {stride: _ANCHORS * cell_count(size, (stride,)) for stride in strides}
