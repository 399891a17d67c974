"""What TensorFlow Lite's ``TFLite_Detection_PostProcess`` gives: finished detections.

Four tensors, apart from their names in any order:

- ``boxes`` (1, N, 4): y1 x1 y2 x2 on 0..1 of the net's input.
- ``classes`` (1, N): class numbers as floats.
- ``scores`` (1, N): 0..1, falling.
- ``count`` (1,): how many of the N rows are valid.

Classes and scores have the same shape, and files of TensorFlow 2 name them at random. With
``told_by`` "values" the first frame in which something was found decides: scores are
not whole numbers, class numbers are. It holds for all frames after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    Count,
    Kept,
    Share,
    is_tensorrt,
    rows,
    scaled,
    sound,
    squeezed,
    tensor,
)
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# The four of a TensorFlow 1 file, in their order.
_TF1 = "TFLite_Detection_PostProcess"
_FOUR = f"four outputs: boxes, classes, scores and count of {_TF1}"
# Names of a file that is not for TensorFlow Lite.
_TF = {
    "boxes": "detection_boxes",
    "classes": "detection_classes",
    "scores": "detection_scores",
    "count": "num_detections",
}
# COCO as TensorFlow's detection models number it, where the file does not say.
_COCO = 90
_MAX_CLASS = 100_000


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Boxes below this score are dropped, 0..1.
        offset: Taken off every class number: 1 where number 0 is the background. What is
            negative then is dropped.
        told_by: What tells classes and scores apart: their "names" here, or their "values".
        max_det: At most so many boxes per frame.
    """

    conf: Share = 0.3
    offset: Annotated[int, Field(ge=-1000, le=1000)] = 0
    told_by: Literal["names", "values"] = "names"
    max_det: Count = 100


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "ssd_post")
    # Whether classes and scores change places; None as long as no frame has told.
    swapped: list[bool | None] = [False if p.told_by == "names" else None]

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        corners = rows(outputs, "boxes", "ssd_post", (None, 4))
        classes, scores = (_column(outputs, name, len(corners)) for name in ("classes", "scores"))
        valid = _valid(tensor(outputs, "count", "ssd_post"), len(corners))
        corners, classes, scores = corners[:valid], classes[:valid], scores[:valid]
        if swapped[0] is None:
            swapped[0] = _settle(classes, scores)
        if swapped[0] is None:
            return Detections.empty(labels)
        if swapped[0]:
            classes, scores = scores, classes
        good = sound(corners, classes, scores) & (np.abs(classes) < _MAX_CLASS)
        good &= scores >= p.conf
        ids = np.rint(np.where(good, classes, 0)).astype(np.int64) - p.offset
        hits = np.flatnonzero(good & (ids >= 0))
        hits, ids, best = strongest(hits, ids[hits], scores[hits].clip(0, 1), p.max_det)
        if not len(best):
            return Detections.empty(labels)
        boxes = scaled(corners[hits][:, [1, 0, 3, 2]], size)
        return finish((boxes, best, ids), Kept(p.max_det), labels, geometry)

    return decode


def _column(outputs: Mapping[str, Floats], name: str, count: int) -> Floats:
    values = tensor(outputs, name, "ssd_post")
    if values.size != count:
        raise ModelError(
            f"the model gives {name} {values.shape}; the ssd_post layout needs (1, {count}), one "
            "for each box"
        )
    return values.reshape(-1)


def _valid(count: Floats, rows_there: int) -> int:
    if count.size != 1:
        raise ModelError(f"the model gives count {count.shape}; the ssd_post layout needs (1,)")
    value = float(count.reshape(-1)[0])
    return int(min(max(value, 0), rows_there)) if np.isfinite(value) else 0


def _settle(first: Floats, second: Floats) -> bool | None:
    """Whether ``first`` holds the scores and ``second`` the classes; None where nothing tells.

    Raises:
        ModelError: Neither can be class numbers.
    """
    fine = np.isfinite(first) & np.isfinite(second)
    broken = [bool((v[fine] != np.rint(v[fine])).any()) for v in (first, second)]
    if all(broken):
        raise ModelError(
            "the model's outputs for classes and scores both hold fractions, so it is not of the "
            "ssd_post layout"
        )
    return None if not any(broken) else broken[0]


def recognise(file: Foreign) -> Match | None:
    """Four outputs: (1, N, 4), twice (1, N) and (1,), in any order; or those of TensorFlow."""
    return _from_tensorflow(file) or _from_lite(file)


def _from_lite(file: Foreign) -> Match | None:
    if len(file.outputs) != 4 or is_tensorrt(file):
        return None
    plain = [name for name in file.outputs if name.split(":")[0] == _TF1]
    if len(plain) == 4:
        # These names have a fixed meaning, also where the file leaves the shapes open.
        parts = [_TF1, f"{_TF1}:1", f"{_TF1}:2", f"{_TF1}:3"]
        if set(parts) == set(file.outputs):
            keys = ("boxes", "classes", "scores", "count")
            return _match(file, dict(zip(keys, parts, strict=True)), "names")
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    boxes = [n for n, s in shapes.items() if len(s) == 2 and s[1] == 4]
    if len(boxes) != 1:
        return None
    rest = [n for n in shapes if n != boxes[0]]
    counts = [n for n in rest if shapes[n] in ((1,), ())]
    lists = [n for n in rest if n not in counts and shapes[n] == shapes[boxes[0]][:1]]
    if len(counts) != 1 or len(lists) != 2:
        return None
    named = {"boxes": boxes[0], "count": counts[0]}
    for first, second in (lists, lists[::-1]):
        if "class" in first.lower() and "score" in second.lower():
            return _match(file, {**named, "classes": first, "scores": second}, "names")
    return _match(file, {**named, "classes": lists[0], "scores": lists[1]}, "values")


def _from_tensorflow(file: Foreign) -> Match | None:
    """What its Object Detection API exports for computers, beside further outputs."""
    plain = {name.split(":")[0]: name for name in file.outputs}
    if not plain.keys() >= set(_TF.values()):
        return None
    match = _match(file, {key: plain[name] for key, name in _TF.items()}, "names")
    what = f"outputs {', '.join(_TF.values())}: of TensorFlow, with classes from 1"
    why = match.why.replace(_FOUR, what)
    return replace(match, why=why, params={**match.params, "offset": 1})


def _match(file: Foreign, outputs: dict[str, str], told_by: str) -> Match:
    count = file.labels - file.background or _COCO
    guess = "" if file.labels else f"; it does not say how many classes: {_COCO}, as those of COCO"
    return Match(
        outputs=outputs,
        classes=count,
        why=_FOUR + guess,
        params={"told_by": told_by},
        fit="stretch",
        mean=(127.5,) * 3,
        std=(127.5,) * 3,
        pad=0,
    )
