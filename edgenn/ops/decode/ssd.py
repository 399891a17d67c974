"""SSD, RetinaNet and EfficientDet without their suppression: offsets from anchors; and Darknet's
YOLOs as PyTorch ports export them.

- ``boxes`` (1, N, 4), or (1, N, 1, 4): offsets of centre and logarithm of the sides from those of N
  anchors that the manifest describes (form "offsets"); or x1 y1 x2 y2 on 0..1 of the net's input,
  where the file decodes them itself (form "corners").
- ``scores`` (1, N, C), or (1, N, 1 + C) with the background first: logits or probabilities.

With variances v an anchor (x, y, w, h) and its offsets (tx, ty, tw, th) make a box around
(x + tx v1 w, y + ty v2 h) of (w exp(tw v3), h exp(th v4)).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._anchors import Anchors, Listed, MultiScale, Octaves, count, generate
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
from edgenn.ops.decode._grid import MAX_LOG, cell_count
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import Ids, above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

Variance = Annotated[float, Field(gt=0, le=1000)]
# Dequantised probabilities may lie a step beside 0 and 1.
_SLACK = 0.05


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        anchors: How they are generated, for the form "offsets".
        form: What the four numbers of a box are; see above.
        order: "xywh" or "yxhw" of the offsets; TensorFlow has y first.
        variances: Of x, y, width and height.
        background: Whether the first column of the scores is the background.
        activation: What makes probabilities of the scores. Where all of a frame's scores lie
            in 0..1 they are probabilities already, and none is applied.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    anchors: Anchors = field(default_factory=MultiScale)
    form: Literal["offsets", "corners"] = "offsets"
    order: Literal["xywh", "yxhw"] = "yxhw"
    variances: tuple[Variance, Variance, Variance, Variance] = (0.1, 0.1, 0.2, 0.2)
    background: bool = True
    activation: Literal["sigmoid", "softmax"] = "sigmoid"
    conf: Share = 0.3
    iou: Share = 0.6
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "ssd")
    anchors = generate(p.anchors, size) if p.form == "offsets" else None

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        places = rows(outputs, "boxes", "ssd", (None if anchors is None else len(anchors), 4))
        raw = rows(outputs, "scores", "ssd", (len(places), len(labels) + p.background))
        hits, ids, scores = _hits(raw, p)
        good = sound(places)[hits]
        hits, ids, best = strongest(hits[good], ids[good], scores[good], p.candidates)
        if not len(best):
            return Detections.empty(labels)
        if anchors is None:
            boxes = scaled(places[hits], size)
        else:
            boxes = to_boxes(places[hits], anchors[hits], p)
        return finish((boxes, best, ids), p, labels, geometry)

    return decode


def _hits(scores: Floats, p: Params) -> tuple[Ids, Ids, Floats]:
    """Rows, classes and probabilities above the threshold; NaN is not."""
    first, conf = int(p.background), p.conf
    probable = _probable(scores)
    if not probable and p.activation == "softmax":
        scores = softmax(scores)
    elif not probable:
        # The sigmoid never falls, so most of the many cells need no exp.
        bounded = min(max(p.conf, 1e-9), 1 - 1e-9)
        conf = math.log(bounded / (1 - bounded))
    hits, ids, best = above(scores[:, first:], conf)
    if not probable and p.activation == "sigmoid":
        best = sigmoid(best)
    return hits, ids, best.clip(0, 1)


def _probable(scores: Floats) -> bool:
    """Whether all that is finite lies in 0..1."""
    low, high = scores.min(), scores.max()
    if not np.isfinite([low, high]).all():
        finite = scores[np.isfinite(scores)]
        low, high = finite.min(initial=0), finite.max(initial=0)
    return bool(low >= -_SLACK and high <= 1 + _SLACK)


def to_boxes(offsets: Floats, anchors: Floats, p: Params) -> Floats:
    """(N, 4) x1 y1 x2 y2 in net pixels.

    Args:
        offsets: (N, 4) as the net gives them.
        anchors: (N, 4) centre x, centre y, width, height in net pixels.
        p: Their order and variances.
    """
    if p.order == "yxhw":
        offsets = offsets[:, [1, 0, 3, 2]]
    offsets = offsets * np.array(p.variances, np.float32)
    middle = anchors[:, :2] + offsets[:, :2] * anchors[:, 2:]
    sides = np.exp(offsets[:, 2:].clip(max=MAX_LOG)) * anchors[:, 2:]
    return from_middle(np.concatenate([middle, sides], 1))


@dataclass(frozen=True)
class _Family:
    """Nets that are in use, and how their pictures are prepared."""

    what: str
    anchors: MultiScale | Listed | Octaves
    background: bool
    order: str = "yxhw"
    activation: str = "sigmoid"
    variances: tuple[float, ...] = (0.1, 0.1, 0.2, 0.2)
    fit: Literal["letterbox-start", "stretch"] = "stretch"
    mean: tuple[float, ...] | None = (127.5,) * 3
    std: tuple[float, ...] | None = (127.5,) * 3
    sides: tuple[int, ...] = ()  # Of the square pictures that it is made for; none: any.
    sure: bool = True


_SSD512 = Listed(
    (64, 32, 16, 8, 4, 2, 1),
    (8, 16, 32, 64, 128, 256, 512),
    (35.84, 76.8, 153.6, 230.4, 307.2, 384.0, 460.8, 537.6),
    ((2,), (2, 3), (2, 3), (2, 3), (2, 3), (2,), (2,)),
)
# The ports of the first SSD disagree about the mean and its order, so there is no preset.
_VGG: dict[str, Any] = {
    "background": True,
    "order": "xywh",
    "activation": "softmax",
    "mean": None,
    "std": None,
}
_EFFICIENTDET = _Family(
    "an EfficientDet",
    Octaves(uneven="cover"),
    False,
    variances=(1.0,) * 4,
    fit="letterbox-start",
    mean=IMAGENET[0],
    std=IMAGENET[1],
    sides=(512, 640, 768, 896, 1024, 1280, 1408, 1536),
)
_FAMILIES = (
    _Family("SSD300", Listed(), sides=(300,), **_VGG),
    _Family("SSD512", _SSD512, sides=(512,), **_VGG),
    _Family("TensorFlow's SSD", MultiScale(), True),
    _Family(
        "TensorFlow's SSD with a feature pyramid",
        Octaves(octaves=2, outer="ratios", uneven="zero"),
        True,
    ),
    # Lite3 and Lite4 have the anchors of the larger ones, and a size that those have too.
    replace(
        _EFFICIENTDET,
        what="an EfficientDet-Lite",
        anchors=Octaves(scale=3.0, uneven="cover"),
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
        sides=(320, 384, 448),
    ),
    _EFFICIENTDET,
    # Other toolkits make nets of the same counts with other anchors.
    replace(_EFFICIENTDET, what="a guess: an EfficientDet", sides=(), sure=False),
)
# SSD on MobileNet of 300x300 as PyTorch ports export it, with boxes decoded.
_DECODED = 3000
# Anchors in each cell of a YOLO, and the grids of the full nets and of the tiny ones.
_YOLO_ANCHORS, _YOLO_GRIDS = 3, ((8, 16, 32), (16, 32))


def recognise(file: Foreign) -> Match | None:
    """Two outputs (1, N, 4) and (1, N, C), N that of a known generator for the input's size."""
    pair = _pair(file)
    if pair is None:
        return None
    boxes, scores, number, columns = pair
    outputs = {"boxes": boxes, "scores": scores}
    if number == _DECODED and file.size == (300, 300) and columns > 1:
        return Match(
            outputs=outputs,
            classes=columns - 1,
            why=f"outputs (1, {number}, 4) and (1, {number}, {columns}): SSD on MobileNet with "
            f"decoded boxes, {columns - 1} classes and background",
            params={"form": "corners", "background": True, "activation": "softmax"},
            fit="stretch",
            mean=(127.0,) * 3,
            std=(128.0,) * 3,
            pad=0,
        )
    if number in [_YOLO_ANCHORS * cell_count(file.size, grid) for grid in _YOLO_GRIDS]:
        return Match(
            outputs=outputs,
            classes=columns,
            why=f"outputs (1, {number}, 4) and (1, {number}, {columns}): a YOLOv3 or YOLOv4 with "
            f"decoded boxes and {columns} classes",
            params={"form": "corners", "background": False},
            fit="stretch",
            mean=(0.0,) * 3,
            std=(255.0,) * 3,
        )
    for family in _FAMILIES:
        made_for = not family.sides or file.size in [(side, side) for side in family.sides]
        if made_for and count(family.anchors, file.size) == number:
            return _match(file, family, outputs, columns)
    return None


def _pair(file: Foreign) -> tuple[str, str, int, int] | None:
    """Names of the boxes and of the scores, rows, and columns of the scores."""
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    if len(shapes) != 2 or any(len(shape) != 2 or min(shape) < 1 for shape in shapes.values()):
        return None
    pairs = [(a, b) for a in shapes for b in shapes if a != b and shapes[a][1] == 4]
    # With three classes and a background both have four columns, and names must tell.
    if len(pairs) == 2:
        pairs = [(a, b) for a, b in pairs if "box" in a.lower() and "box" not in b.lower()]
    if len(pairs) != 1:
        return None
    boxes, scores = pairs[0]
    number, columns = shapes[scores]
    return (boxes, scores, number, columns) if number == shapes[boxes][0] else None


def _match(file: Foreign, family: _Family, outputs: dict[str, str], columns: int) -> Match:
    named = file.labels - file.background
    if named and named in (columns, columns - 1):
        background = named == columns - 1
    else:
        # COCO has 90 numbers in TensorFlow and 80 elsewhere, VOC 20.
        background = columns in (91, 81, 21) or (family.background and columns not in (90, 80))
    background = background and columns > 1
    number = count(family.anchors, file.size)
    classes = columns - background
    return Match(
        outputs=outputs,
        classes=classes,
        why=f"outputs (1, {number}, 4) and (1, {number}, {columns}): as many anchors as "
        f"{family.what} of {file.size[1]}x{file.size[0]}, {classes} classes"
        + (" and background" if background else ""),
        sure=family.sure,
        params={
            "anchors": asdict(family.anchors),
            "order": family.order,
            "variances": family.variances,
            "background": background,
            "activation": family.activation,
        },
        fit=family.fit,
        mean=family.mean,
        std=family.std,
        pad=0,
    )
