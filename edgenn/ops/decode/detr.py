"""DETR, Carion et al. 2020 (https://arxiv.org/abs/2005.12872), and its family: RT-DETR,
D-FINE, RF-DETR.

- ``logits`` (1, Q, C), or (1, Q, C + 1) with "no object" as the last class.
- ``boxes`` (1, Q, 4): centre x, centre y, width, height on 0..1 of the net's input.

Each query speaks for one object, so there is no suppression of overlapping boxes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    IMAGENET,
    Candidates,
    Count,
    Share,
    from_middle,
    rows,
    scaled,
    sigmoid,
    softmax,
    sound,
    squeezed,
)
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import Ids, above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# COCO's numbers from 0 to 90, of which eleven stand for nothing.
_COCO_ALL = 91
# More queries than any net of the family has; beyond it are cells of a grid.
_MAX_QUERIES = 1000


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        activation: "softmax" over the classes and "no object", of which the best class
            counts; or "sigmoid" of each class by itself.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which the weaker box goes, 0..1; 1 keeps all.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes are considered, the best ones.
    """

    activation: Literal["softmax", "sigmoid"] = "sigmoid"
    conf: Share = 0.5
    iou: Share = 1.0
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "detr")
    classes = len(labels)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        places = rows(outputs, "boxes", "detr", (None, 4))
        columns = classes + (p.activation == "softmax")
        logits = rows(outputs, "logits", "detr", (len(places), columns))
        hits, ids, scores = _hits(logits, p)
        good = sound(places)[hits]
        hits, ids, best = strongest(hits[good], ids[good], scores[good], p.candidates)
        if not len(best):
            return Detections.empty(labels)
        boxes = scaled(from_middle(places[hits]), size)
        return finish((boxes, best, ids), p, labels, geometry)

    return decode


def _hits(logits: Floats, p: Params) -> tuple[Ids, Ids, Floats]:
    """Queries, classes and scores above the threshold; NaN is not."""
    if p.activation == "sigmoid":
        # The sigmoid never falls, so most of the many cells need no exp.
        bounded = min(max(p.conf, 1e-9), 1 - 1e-9)
        hits, ids, best = above(logits, math.log(bounded / (1 - bounded)))
        return hits, ids, sigmoid(best)
    scores = softmax(logits)[:, :-1]
    ids = scores.argmax(1)
    best = scores[np.arange(len(scores)), ids]
    hits = np.flatnonzero(best >= p.conf)
    return hits, ids[hits], best[hits]


def recognise(file: Foreign) -> Match | None:
    """Outputs (1, Q, 4) and (1, Q, C), Q far fewer than a grid has cells."""
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    pairs = [
        (logits, boxes)
        for logits in shapes
        for boxes in shapes
        if logits != boxes
        and len(shapes[logits]) == 2
        and len(shapes[boxes]) == 2
        and shapes[boxes][1] == 4
        and shapes[logits][0] == shapes[boxes][0]
        and 1 < shapes[boxes][0] <= _MAX_QUERIES
    ]
    named = [
        (a, b)
        for a, b in pairs
        if ("logit" in a.lower() or a.lower() == "labels")
        and ("box" in b.lower() or b.lower() == "dets")
    ]
    # Auxiliary outputs are only told from the wanted ones by names.
    best = named or (pairs if len(shapes) == 2 else [])
    if not best:
        return None
    logits, boxes = best[0]
    queries, columns = shapes[logits]
    if columns < 1:
        return None
    if file.labels and file.labels in (columns, columns - 1):
        nothing = file.labels == columns - 1
    else:
        # 91 classes of COCO and "no object"; or the hundred queries of the first DETR.
        nothing = columns == 92 or queries == 100
    if nothing and columns < 2:
        return None
    # RT-DETR and D-FINE take 0..1 and have 80 classes of COCO; the others take ImageNet's, some of
    # which ask for a mask, and so does RF-DETR ("dets", "labels").
    is_first = nothing or columns == _COCO_ALL or "pixel_mask" in file.inputs
    rf = boxes.lower() == "dets"
    mean, std = IMAGENET if is_first or rf else ((0.0,) * 3, (255.0,) * 3)
    return Match(
        outputs={"logits": logits, "boxes": boxes},
        classes=columns - nothing,
        why=f"outputs (1, {queries}, {columns}) and (1, {queries}, 4): {queries} queries with "
        f"{columns - nothing} classes" + (' and "no object"' if nothing else ""),
        sure=bool(named),
        params={"activation": "softmax" if nothing else "sigmoid"},
        fit="stretch",
        mean=mean,
        std=std,
        pad=0,
    )
