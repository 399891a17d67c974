"""Anchor-free detectors that predict a box per grid cell.

Two tensors, apart so that they never share a quantisation scale:

- ``boxes`` (1, N, 4), in units of the cell's stride; in the form "edges" the distances
  from the cell's centre to the left, top, right and bottom edge (FCOS, Tian et al.
  2019), in the form "centre" x and y of the middle from the cell's top left corner and
  the logarithms of width and height (YOLOX, Ge et al. 2021).
- ``scores`` (1, N, C): logits; sigmoid gives the score of each class.

N runs over the strides in the given order, each grid row by row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.boxes import Form
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import are_shares, squeezed
from edgenn.ops.decode._grid import MAX_LOG, cell_count, centers
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.plugins import suggestion
from edgenn.types import Detections, Floats

__all__ = ["MAX_LOG", "Params", "build", "centers", "recognise", "to_boxes"]


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        strides: Net pixels per cell of each grid.
        conf: Boxes below this score are dropped, 0..1.
        class_conf: Label to its own ``conf``; other classes keep the common one.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones; bounded, as NMS
            compares all pairs.
        form: What the four numbers of a box are; see above.
    """

    strides: Annotated[tuple[Annotated[int, Field(gt=0)], ...], Field(min_length=1)] = (8, 16, 32)
    conf: Annotated[float, Field(ge=0, le=1)] = 0.25
    class_conf: Mapping[str, Annotated[float, Field(ge=0, le=1)]] = field(default_factory=dict)
    iou: Annotated[float, Field(ge=0, le=1)] = 0.6
    max_det: Annotated[int, Field(gt=0)] = 100
    candidates: Annotated[int, Field(gt=0, le=3000)] = 300
    form: Form = "edges"


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "ltrb")
    points, scales = centers(size, p.strides)
    threshold = _thresholds(p, labels)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        logits, distances = outputs["scores"][0], outputs["boxes"][0]
        if logits.shape != (len(points), len(labels)) or distances.shape != (len(points), 4):
            raise ModelError(
                f"the model gives boxes {distances.shape} and scores {logits.shape}; "
                f"a {size[0]}x{size[1]} input with strides {p.strides} and {len(labels)} labels "
                f"needs ({len(points)}, 4) and ({len(points)}, {len(labels)})"
            )
        cells, class_ids, best = strongest(*above(logits, threshold), p.candidates)
        if not len(best):
            return Detections.empty(labels)
        boxes = to_boxes(distances[cells], points[cells], scales[cells], p.form)
        scores = np.asarray(1 / (1 + np.exp(-best)), np.float32)
        return finish((boxes, scores, class_ids), p, labels, geometry)

    return decode


def _thresholds(p: Params, labels: tuple[str, ...]) -> Floats:
    """(1,) or (C,) logits from which on a cell counts.

    The sigmoid never falls, so no exp is needed for the empty cells.
    """
    for name in p.class_conf:
        if name not in labels:
            raise ModelError(
                f"decode.class_conf has no class {name!r}{suggestion(name, list(labels))}"
            )
    each = [p.class_conf.get(name, p.conf) for name in labels] if p.class_conf else [p.conf]
    conf = np.clip(each, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(conf / (1 - conf)), np.float32)


def to_boxes(values: Floats, points: Floats, scales: Floats, form: Form) -> Floats:
    """(N, 4) x1 y1 x2 y2 in net pixels.

    Args:
        values: (N, 4) in strides.
        points: (N, 2) centres of the cells, net pixels.
        scales: (N, 1) their strides.
        form: What the values are.
    """
    if form == "centre":
        middle = points + (values[:, :2] - 0.5) * scales
        half = np.exp(values[:, 2:].clip(max=MAX_LOG)) * scales / 2
        return np.concatenate([middle - half, middle + half], 1)
    reach = values * scales
    return np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)


def recognise(file: Foreign) -> Match | None:
    """Two outputs (1, N, 4) and (1, N, C), N as many as the grids of three strides have cells.

    Never sure: boxes of other detectors of this shape are in pixels.
    """
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    cells = cell_count(file.size, Params().strides)
    boxes = [name for name, shape in shapes.items() if shape == (cells, 4)]
    scores = [n for n, s in shapes.items() if len(s) == 2 and s[0] == cells and n not in boxes]
    if (len(shapes), len(boxes), len(scores)) != (2, 1, 1):
        return None
    classes = shapes[scores[0]][1]
    return Match(
        outputs={"boxes": boxes[0], "scores": scores[0]},
        classes=classes,
        why=f"outputs (1, {cells}, 4) and (1, {cells}, {classes}): distances to the edges in "
        "strides, and logits",
        sure=False,
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether scores are logits, and not shares already."""
    del match
    return not all(are_shares(sample["scores"]) for sample in samples)
