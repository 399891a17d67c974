"""PicoDet without its NMS, and the first NanoDet.

Form "levels", without post-processing: for every stride S ``scores_S`` (1, N, C), a score 0..1 per
class, and ``boxes_S`` (1, N, 4 * (R + 1)): logits of the distances from the middle of the cell to
the left, top, right and bottom edge (see `edgenn.ops.decode._integral`). N runs over the grid row
by row. PicoDet, Yu et al. 2021 (https://arxiv.org/abs/2111.00902), has strides 8, 16, 32 and 64;
where its head weighs classes by how well boxes fit, the file takes the root of the product itself.

Form "decoded", with post-processing, as PP-YOLOE too: ``boxes`` (1, N, 4), x1 y1 x2 y2 in net
pixels, and ``scores`` (1, C, N), or (1, N, C) of YOLO-NAS and DAMO-YOLO, N over all grids. With NMS
the file is of the layout end2end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    IMAGENET,
    Candidates,
    Count,
    Share,
    Strides,
    are_shares,
    rows,
    sound,
    stacked,
    tensor,
)
from edgenn.ops.decode._grid import cell_count, cells_off, centers
from edgenn.ops.decode._integral import boxes as to_boxes
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import Ids, above, finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Numbers of a box where distances go up to 7 or 10 cells.
_USUAL = (32, 44)
# Share of boxes whose corners are in their order, and cells that most are off theirs, where boxes
# are corners in pixels.
_ORDERED, _NEAR = 0.9, 1.5
# Those of PicoDet, and those of NanoDet and PP-YOLOE.
_STRIDES = ((8, 16, 32, 64), (8, 16, 32))


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        form: Which tensors there are; see above.
        strides: Net pixels per cell of each grid.
        reach: Largest distance in cells, R.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    form: Literal["levels", "decoded"] = "levels"
    strides: Strides = (8, 16, 32, 64)
    reach: Annotated[int, Field(gt=0, le=64)] = 7
    conf: Share = 0.4
    iou: Share = 0.5
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "picodet")
    if p.form == "decoded":
        return _decoded(p, labels, size)
    points = {stride: centers(size, (stride,))[0] for stride in p.strides}
    numbers = 4 * (p.reach + 1)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        parts: list[_Hits] = []
        for stride, middles in points.items():
            count = len(middles)
            scores = rows(outputs, f"scores_{stride}", "picodet", (count, len(labels)))
            logits = rows(outputs, f"boxes_{stride}", "picodet", (count, numbers))
            # Only what passes goes through the softmax.
            hits, ids, best = strongest(*above(scores, p.conf), p.candidates)
            steps = np.full((len(hits), 1), stride, np.float32)
            parts.append((to_boxes(logits[hits], middles[hits], steps), best, ids))
        boxes, best, ids = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _finish((boxes, best, ids), p, labels, geometry)

    return decode


_Hits = tuple[Floats, Floats, Ids]


def _decoded(p: Params, labels: tuple[str, ...], size: tuple[int, int]) -> Decoder:
    count = cell_count(size, p.strides)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        boxes = rows(outputs, "boxes", "picodet", (count, 4))
        scores = tensor(outputs, "scores", "picodet")
        if scores.shape not in ((1, len(labels), count), (1, count, len(labels))):
            raise ModelError(
                f"the model gives scores {scores.shape}; the picodet layout needs "
                f"(1, {len(labels)}, {count})"
            )
        table = scores[0] if scores.shape[1] == count else scores[0].T
        hits, ids, best = strongest(*above(table, p.conf), p.candidates)
        return _finish((boxes[hits], best, ids), p, labels, geometry)

    return decode


def _finish(
    found: _Hits, p: Params, labels: tuple[str, ...], geometry: Geometry | None
) -> Detections:
    boxes, best, ids = found
    good = np.flatnonzero(sound(boxes))
    good, ids, best = strongest(good, ids[good], best[good], p.candidates)
    if not len(best):
        return Detections.empty(labels)
    return finish((boxes[good], best.clip(max=1), ids), p, labels, geometry)


def recognise(file: Foreign) -> Match | None:
    """Pairs (1, N, C) and (1, N, 4 * (R + 1)) for three or four grids; or one pair for all."""
    return _from_decoded(file) or _from_rows(file) or _from_levels(file)


def _from_rows(file: Foreign) -> Match | None:
    """Boxes and scores both row by row: in the files of many toolkits, so only values tell."""
    strides = _STRIDES[1]
    count = cell_count(file.size, strides)
    boxes = [n for n, s in file.outputs.items() if s == (1, count, 4)]
    scores = [n for n, s in file.outputs.items() if s[:2] == (1, count) and n not in boxes]
    if (len(file.outputs), len(boxes), len(scores)) != (2, 1, 1):
        return None
    shape = file.outputs[scores[0]]
    if len(shape) != 3 or shape[2] < 1:
        return None
    return Match(
        outputs={"boxes": boxes[0], "scores": scores[0]},
        classes=shape[2],
        why=f"outputs (1, {count}, 4) and {shape}: corners in pixels and scores of all cells, as "
        "of YOLO-NAS",
        sure=False,
        params={"form": "decoded", "strides": strides},
        fit="letterbox-start",
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether scores lie on 0..1, where these are alone with the boxes."""
    decoded = match.params.get("form") == "decoded"
    return not decoded or all(are_shares(sample["scores"]) for sample in samples)


def shows(match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> bool:
    """Whether boxes are corners, in pixels, about their own cells."""
    boxes = stacked(samples, "boxes")[:, 0]
    low, high = boxes[..., :2], boxes[..., 2:]
    ordered = (high >= low).all(-1).mean()
    off = cells_off((low + high) / 2, size, match.params["strides"])
    return bool(ordered > _ORDERED and off < _NEAR)


def _from_decoded(file: Foreign) -> Match | None:
    if len(file.outputs) != 2:
        return None
    for strides in _STRIDES:
        count = cell_count(file.size, strides)
        boxes = [n for n, s in file.outputs.items() if s == (1, count, 4)]
        scores = [n for n, s in file.outputs.items() if len(s) == 3 and s[0::2] == (1, count)]
        if len(boxes) != 1 or len(scores) != 1:
            continue
        classes = file.outputs[scores[0]][1]
        is_pico = len(strides) == 4
        return Match(
            outputs={"boxes": boxes[0], "scores": scores[0]},
            classes=classes,
            why=f"outputs (1, {count}, 4) and (1, {classes}, {count}): boxes and scores for "
            f"strides {strides}, as a {'PicoDet' if is_pico else 'PP-YOLOE'} has without its NMS",
            params={"form": "decoded", "strides": strides},
            fit="stretch",
            # PP-YOLOE takes ImageNet's scaling, PP-YOLOE+ 0..1.
            mean=IMAGENET[0] if is_pico else None,
            std=IMAGENET[1] if is_pico else None,
        )
    return None


def _from_levels(file: Foreign) -> Match | None:
    shapes = {name: shape for name, shape in file.outputs.items() if shape[:1] in ((1,), (-1,))}
    for strides in _STRIDES:
        if len(file.outputs) != 2 * len(strides):
            continue
        levels = [_level(shapes, cell_count(file.size, (stride,))) for stride in strides]
        found = _pairs(levels, shapes, file.labels)
        if found is None:
            continue
        scores, boxes = found
        classes, numbers = shapes[scores[0]][2], shapes[boxes[0]][2]
        named = {f"scores_{s}": n for s, n in zip(strides, scores, strict=True)}
        named |= {f"boxes_{s}": n for s, n in zip(strides, boxes, strict=True)}
        is_pico = len(strides) == 4
        mean, std = IMAGENET
        return Match(
            outputs=named,
            classes=classes,
            why=f"pairs of outputs (1, N, {classes}) and (1, N, {numbers}) for strides {strides}, "
            f"as a {'PicoDet' if is_pico else 'NanoDet'} has",
            params={"strides": strides, "reach": numbers // 4 - 1},
            fit="stretch" if is_pico else "letterbox",
            color="rgb" if is_pico else "bgr",
            mean=mean if is_pico else mean[::-1],
            std=std if is_pico else std[::-1],
            pad=0,
        )
    return None


def _level(shapes: Mapping[str, tuple[int, ...]], count: int) -> list[str]:
    """Outputs of so many rows, in the order of the file."""
    return [name for name, shape in shapes.items() if len(shape) == 3 and shape[1] == count]


def _pairs(
    levels: list[list[str]], shapes: Mapping[str, tuple[int, ...]], labels: int
) -> tuple[list[str], list[str]] | None:
    """Names of the scores and of the boxes of all levels; None where they do not fit."""
    if any(len(level) != 2 for level in levels):
        return None
    widths = [[shapes[name][2] for name in level] for level in levels]
    first, second = widths[0]
    if any(set(width) != {first, second} for width in widths):
        return None
    numbers = _numbers(first, second, labels)
    if not numbers:
        return None
    # Where both are as wide, boxes come after the scores.
    places = [1 if first == second else width.index(numbers) for width in widths]
    boxes = [level[place] for level, place in zip(levels, places, strict=True)]
    scores = [level[1 - place] for level, place in zip(levels, places, strict=True)]
    return scores, boxes


def _numbers(first: int, second: int, labels: int) -> int:
    """Which of two widths is that of the boxes; 0 where none can be."""
    possible = [
        width
        for width, other in ((first, second), (second, first))
        if width % 4 == 0 and 8 <= width <= 260 and other > 0
    ]
    named = [width for width in possible if labels in (first, second) and width != labels]
    usual = [width for width in possible if width in _USUAL]
    return (named or usual or possible or [0])[0]
