"""Detectors whose file suppresses overlaps itself, or needs no suppression: nothing is left to do.

In one of six forms, all with corners x1 y1 x2 y2 in net pixels, or on 0..1:

- "rows": ``rows`` (1, M, 6 + E): corners, score, class, then nothing more, or K key points of 2 or
  3 numbers each, or coefficients of a mask, which are left out. YOLOv10, Wang et al. 2024
  (https://arxiv.org/abs/2405.14458), YOLO26, and what ultralytics exports with ``nms=True``.
- "batch": ``rows`` (M, 7): number of the picture, corners, class, score. YOLOv7 with --end2end.
- "flat": the same with the score before the class. YOLO-NAS.
- "lists": ``boxes`` (1, M, 4), ``scores`` (1, M), ``classes`` (1, M), and mostly ``count`` (1,):
  how many of M count. NMS for TensorRT; RT-DETR, Zhao et al. 2023
  (https://arxiv.org/abs/2304.08069), with its post-processing; and torchvision's detectors, which
  have no batch and number their classes from 1. Where M is that of a grid, boxes overlap still.
- "dets": ``rows`` (1, M, 5): corners and score, and ``classes`` (1, M). mmdeploy.
- "paddle": ``rows`` (M, 6): class, score, corners, and ``count`` (1,). PicoDet and PP-YOLOE with
  their post-processing and NMS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    IMAGENET,
    MAX_ROWS,
    UNIT,
    Count,
    Kept,
    Keypoints,
    Share,
    have_class,
    is_rtdetr,
    is_tensorrt,
    keypoints,
    kpt_shape,
    sound,
    tensor,
)
from edgenn.ops.decode._grid import cell_count
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Far fewer than a grid has cells.
_MOST = 1000
_COCO = 80
# COCO's numbers from 1 to 90, of which ten stand for nothing.
_COCO_ALL = 90
Form = Literal["rows", "batch", "flat", "lists", "dets", "paddle"]


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        form: Which tensors there are; see above.
        conf: Boxes below this score are dropped, 0..1.
        max_det: At most so many boxes per frame.
        normalized: Boxes are on 0..1; None finds out with the first that count.
        keypoints: Number of key points, and numbers of each, 2 or 3; 0 of them: none.
        rest: Numbers after the class that mean nothing here.
        offset: Taken off every class number: 1 where number 0 is the background.
        iou: Overlap above which NMS drops the weaker box, 0..1; 1 keeps all.
    """

    form: Form = "rows"
    conf: Share = 0.25
    max_det: Count = 300
    normalized: bool | None = None
    keypoints: Keypoints = (0, 3)
    rest: Annotated[int, Field(ge=0, le=10_000)] = 0
    offset: Annotated[int, Field(ge=0, le=1)] = 0
    iou: Share = 1.0


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "end2end")
    sides = np.array([size[1], size[0]], np.float32)
    count, each = p.keypoints
    read = _READERS[p.form]
    is_unit = p.normalized

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        nonlocal is_unit
        boxes, scores, classes, extra = read(outputs, count * each + p.rest)
        classes = classes - p.offset
        points = extra[:, : count * each]
        # NaN compares false.
        good = (scores >= p.conf) & (scores < np.inf) & sound(boxes, points)
        good &= (classes > -0.5) & (classes < len(labels) - 0.5)
        hits = np.flatnonzero(good)
        ids = np.rint(classes[hits]).astype(np.int64)
        limit = p.max_det if p.iou >= 1 else max(p.max_det, _MOST)
        hits, ids, best = strongest(hits, ids, scores[hits], limit)
        if not len(best):
            return Detections.empty(labels)
        boxes = boxes[hits]
        if is_unit is None:
            is_unit = bool(boxes.max() <= UNIT)
        unit = sides if is_unit else np.ones(2, np.float32)
        shown = keypoints(points[hits].reshape(-1, count, each), unit) if count else None
        found = boxes * np.tile(unit, 2), best.clip(max=1), ids
        return finish(found, Kept(p.max_det, p.iou), labels, geometry, shown)

    return decode


_Parts = tuple[Floats, Floats, Floats, Floats]


def _rows(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    """Boxes (M, 4), scores (M,), classes (M,) and what follows (M, E); M may be 0."""
    values = tensor(outputs, "rows", "end2end")
    if values.ndim != 3 or values.shape[0] != 1 or values.shape[2] != 6 + extra:
        raise ModelError(
            f"the model gives {values.shape}; the end2end layout needs (1, M, {6 + extra})"
        )
    values = _bounded(values[0])
    return values[:, :4], values[:, 4], values[:, 5], values[:, 6:]


def _batch(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    values = tensor(outputs, "rows", "end2end")
    if values.ndim != 2 or values.shape[1] != 7:
        raise ModelError(f"the model gives {values.shape}; the end2end layout needs (M, 7)")
    values = _bounded(values)
    values = values[values[:, 0] == 0]
    return values[:, 1:5], values[:, 6], values[:, 5], np.zeros((len(values), extra), np.float32)


def _flat(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    boxes, classes, scores, rest = _batch(outputs, extra)
    return boxes, scores, classes, rest


def _lists(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    boxes = tensor(outputs, "boxes", "end2end")
    if boxes.ndim < 2 or boxes.shape[-1] != 4 or boxes.size != boxes.shape[-2] * 4:
        raise ModelError(f"the model gives boxes {boxes.shape}; the end2end layout needs (1, M, 4)")
    boxes = _bounded(boxes.reshape(-1, 4))
    flat = []
    for name in ("scores", "classes"):
        values = tensor(outputs, name, "end2end").reshape(-1)[:MAX_ROWS]
        if len(values) != len(boxes):
            raise ModelError(
                f"the model gives {len(values)} {name} for {len(boxes)} boxes; the end2end layout "
                "needs one for each"
            )
        flat.append(values)
    last = _count(outputs["count"], len(boxes)) if "count" in outputs else len(boxes)
    return (
        boxes[:last],
        flat[0][:last],
        flat[1][:last],
        np.zeros((last, extra), np.float32),
    )


def _dets(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    values = tensor(outputs, "rows", "end2end")
    classes = tensor(outputs, "classes", "end2end").reshape(-1)
    if values.ndim != 3 or values.shape[0] != 1 or values.shape[2] != 5:
        raise ModelError(f"the model gives {values.shape}; the end2end layout needs (1, M, 5)")
    values = _bounded(values[0])
    if len(classes) != len(values):
        raise ModelError(
            f"the model gives {len(classes)} classes for {len(values)} boxes; the end2end layout "
            "needs one for each"
        )
    return values[:, :4], values[:, 4], classes, np.zeros((len(values), extra), np.float32)


def _paddle(outputs: Mapping[str, Floats], extra: int) -> _Parts:
    values = tensor(outputs, "rows", "end2end")
    if values.ndim != 2 or values.shape[1] != 6:
        raise ModelError(f"the model gives {values.shape}; the end2end layout needs (M, 6)")
    values = _bounded(values)
    values = values[: _count(tensor(outputs, "count", "end2end"), len(values))]
    return values[:, 2:], values[:, 1], values[:, 0], np.zeros((len(values), extra), np.float32)


_READERS = {
    "rows": _rows,
    "batch": _batch,
    "flat": _flat,
    "lists": _lists,
    "dets": _dets,
    "paddle": _paddle,
}


def _count(number: Floats, most: int) -> int:
    """How many of ``most`` rows count."""
    if number.size != 1:
        raise ModelError(f"the model gives count {number.shape}; the end2end layout needs (1,)")
    return int(np.clip(np.nan_to_num(number.reshape(-1)[0], nan=0, posinf=most), 0, most))


def _bounded(values: Floats) -> Floats:
    if len(values) > MAX_ROWS:
        raise ModelError(f"the model gives {len(values)} boxes; it is refused")
    return np.asarray(values)


def recognise(file: Foreign) -> Match | None:
    """An output (1, M, 6) or (M, 7), M far fewer than a grid has cells; or several by name."""
    for read in (_from_lists, _from_kinds, _from_batch, _from_dets, _from_paddle, _from_rows):
        found = read(file)
        if found is not None:
            return found
    return None


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether rows hold the number of a class where it is due."""
    if match.params["form"] not in ("rows", "batch"):
        return True
    values = [sample["rows"] for sample in samples]
    if match.params["form"] == "batch":
        return all(map(have_class, values))
    # Numbers of classes in 8 bits are not whole, but no shares either.
    return all(have_class(v) or bool((v > UNIT).any()) for v in values)


def _match(
    file: Foreign,
    outputs: dict[str, str],
    what: str,
    params: Mapping[str, object],
    *,
    sure: bool = True,
    classes: int = 0,
) -> Match:
    """Its number of classes, where it is not that of the names, nor of COCO."""
    guess = ""
    if not file.labels:
        guess = f"; it does not say how many classes: {classes or _COCO}, as those of COCO"
    classes = classes or file.labels or _COCO
    return Match(
        outputs=outputs,
        classes=classes,
        why=what + guess,
        sure=sure,
        params=params,
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    )


def _from_rows(file: Foreign) -> Match | None:
    task = file.metadata.get("task", "")
    count, each = kpt_shape(file) if task == "pose" else (0, 3)
    rest = 0
    if any(len(shape) == 4 and 32 in shape[1:] for shape in file.outputs.values()):
        rest = 32
    columns = 6 + count * each + rest
    grids = [cell_count(file.size, s) for s in ((8, 16, 32), (8, 16, 32, 64), (16, 32))]
    fitting = {
        name: shape
        for name, shape in file.outputs.items()
        if len(shape) == 3
        and shape[0] in (1, -1)
        and shape[2] == columns
        and 0 <= shape[1] <= _MOST
        # A row or three for each cell: a net of one or two classes.
        and shape[1] not in [n * times for n in grids for times in (1, 3)]
    }
    if len(fitting) != 1 or task in ("obb", "classify") or len(file.outputs) > 1 + bool(rest):
        return None
    if task == "detect" and file.labels == 2 and is_rtdetr(file):
        return None
    ((name, shape),) = fitting.items()
    extra = f", {count} key points" if count else ", masks are left out" if rest else ""
    params: dict[str, object] = {"form": "rows"}
    if count or rest:
        params |= {"keypoints": (count, each), "rest": rest}
    what = f"output {shape}: corners, score and class of {shape[1]} boxes{extra}"
    return _match(file, {"rows": name}, what, params)


def _from_batch(file: Foreign) -> Match | None:
    if len(file.outputs) != 1:
        return None
    ((name, shape),) = file.outputs.items()
    if len(shape) != 2 or shape[1] != 7:
        return None
    is_flat = "flat_predictions" in name
    order = "score and class" if is_flat else "class and score"
    what = f"output {shape}: picture, corners, {order} of every box"
    # One row may as well be a classifier of seven classes.
    params = {"form": "flat" if is_flat else "batch"}
    return _match(file, {"rows": name}, what, params, sure=is_flat or shape[0] != 1)


def _from_dets(file: Foreign) -> Match | None:
    dets, labels = (file.outputs.get(name, ()) for name in ("dets", "labels"))
    if len(dets) != 3 or dets[2] != 5 or labels != dets[:2]:
        return None
    what = f"outputs dets {dets} and labels {labels}: corners, score and class, as of mmdeploy"
    match = _match(file, {"rows": "dets", "classes": "labels"}, what, {"form": "dets"})
    # Each of its nets has its own scaling.
    return replace(match, fit="letterbox-start", mean=None, std=None)


def _from_paddle(file: Foreign) -> Match | None:
    rows = [name for name, shape in file.outputs.items() if len(shape) == 2 and shape[1] == 6]
    counts = [name for name, shape in file.outputs.items() if shape in ((1,), ())]
    if len(file.outputs) != 2 or len(rows) != 1 or len(counts) != 1:
        return None
    what = f"outputs {file.outputs[rows[0]]} and a count: class, score and corners, as of Paddle"
    outputs = {"rows": rows[0], "count": counts[0]}
    is_sure = "nms" in rows[0].lower() or "scale_factor" in file.inputs
    match = _match(file, outputs, what, {"form": "paddle"}, sure=is_sure)
    # PicoDet takes ImageNet's scaling, PP-YOLOE+ 0..1.
    return replace(match, fit="stretch", mean=None, std=None)


# Words in the name of each list.
_KINDS = {
    "count": ("num",),
    "boxes": ("box",),
    "scores": ("score", "conf"),
    "classes": ("class", "label", "cls"),
}


# What these files give beside, and is left out.
_LEFT_OUT = ("mask", "keypoint")
# Overlap of boxes that the file does not suppress itself.
_IOU = 0.45


def _from_lists(file: Foreign) -> Match | None:
    named = _named(file)
    # The same four with other names are of TensorFlow, which has y first.
    if named.keys() | {"count"} != _KINDS.keys() or ("count" in named and not is_tensorrt(file)):
        return None
    shapes = {kind: file.outputs[name] for kind, name in named.items()}
    each = shapes["boxes"][:-1]
    if shapes["boxes"][-1:] != (4,) or shapes["scores"] != each or shapes["classes"] != each:
        return None
    if len(each) == 1:
        return _of_torchvision(file, named, _COCO_ALL if file.labels in (0, _COCO) else 0)
    return _of_lists(file, named, each[-1] if each else 1)


def _of_lists(file: Foreign, named: dict[str, str], count: int) -> Match:
    what = f"outputs {', '.join(named.values())}: lists of {count} boxes"
    if count > _MOST:
        what += ", of which those that overlap are dropped"
        return _match(file, named, what, {"form": "lists", "iou": _IOU})
    if set(named.values()) == {"bboxes", "labels", "scores"}:
        what += " with classes from 1, as the SSD of ONNX's model zoo has"
        match = _match(file, named, what, {"form": "lists", "offset": 1})
        return replace(match, fit="stretch", mean=IMAGENET[0], std=IMAGENET[1])
    match = _match(file, named, what, {"form": "lists"})
    return match if "count" in named else replace(match, fit="stretch")


def _from_kinds(file: Foreign) -> Match | None:
    """The lists of torchvision under names that say nothing, told by their types."""
    boxes = [n for n, s in file.outputs.items() if len(s) == 2 and s[1] == 4]
    if len(file.outputs) != 3 or len(boxes) != 1:
        return None
    lists = [n for n, s in file.outputs.items() if s == file.outputs[boxes[0]][:1]]
    whole = [n for n in lists if file.dtypes.get(n) in ("int64", "int32")]
    if len(lists) != 2 or len(whole) != 1:
        return None
    scores = next(n for n in lists if n not in whole)
    named = {"boxes": boxes[0], "scores": scores, "classes": whole[0]}
    # Others number COCO without its gaps.
    match = _of_torchvision(file, named, 0 if file.labels else _COCO_ALL)
    return replace(match, sure=False, mean=None, std=None)


def _of_torchvision(file: Foreign, named: dict[str, str], classes: int) -> Match:
    """It numbers classes from 1, and keeps the gaps of COCO."""
    what = f"outputs {', '.join(named.values())}: lists of boxes with classes from 1, as of "
    classes = classes or max(1, file.labels - file.background)
    params = {"form": "lists", "offset": 1}
    return _match(file, named, what + "torchvision", params, classes=classes)


def _named(file: Foreign) -> dict[str, str]:
    """Outputs by what their names say that they are; nothing where one says nothing."""
    named: dict[str, str] = {}
    for name in [n for n in file.outputs if not any(w in n.lower() for w in _LEFT_OUT)]:
        kinds = [k for k, words in _KINDS.items() if any(word in name.lower() for word in words)]
        if len(kinds) != 1 or kinds[0] in named:
            return {}
        named[kinds[0]] = name
    return named
