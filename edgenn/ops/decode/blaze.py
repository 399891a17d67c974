"""MediaPipe's detectors: BlazeFace (Bazarevsky et al. 2019, https://arxiv.org/abs/1907.05047),
palms (Zhang et al. 2020, https://arxiv.org/abs/2006.10214) and poses.

- ``regressors`` (1, N, 4 + 2K): centre x and y of the box from the middle of the cell, width,
  height, and x y of K key points from the middle of the cell; all in net pixels.
- ``classificators`` (1, N, 1): logits; sigmoid gives the score.

N runs over the grids in the order of ``cells``, each row by row, several anchors in a
cell one after the other. Anchors have a place but no size. Some files give each grid by itself:
``regressors_8`` and ``classificators_8`` for the stride of 8, and so on.

Boxes that overlap are not dropped but blended, as MediaPipe does it: the best takes the
mean of all that overlap it, key points too, weighted by their scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.boxes import iou
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    Candidates,
    Count,
    Kept,
    Share,
    from_middle,
    grids,
    rows,
    sigmoid,
    sound,
    squeezed,
)
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Stride and number of anchors.
Cell = tuple[Count, Annotated[int, Field(gt=0, le=64)]]

# Stride and anchors per cell of the nets that are in use.
KNOWN: tuple[tuple[tuple[int, int], ...], ...] = (
    ((8, 2), (16, 6)),  # face of short range and old pose, 128; palm 192
    ((16, 2), (32, 6)),  # face of the back camera, 256
    ((8, 2), (16, 2), (32, 6)),  # pose 224, old palm 256
    ((4, 1),),  # face of full range, 192
)
# What there is one box for, by the number of key points.
_THINGS = {4: "person", 6: "face", 7: "palm"}


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        cells: Stride in net pixels and number of anchors per cell, of each grid.
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which boxes are blended into the best, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes are compared with each other, the best ones.
    """

    cells: Annotated[tuple[Cell, ...], Field(min_length=1)] = KNOWN[0]
    conf: Share = 0.5
    iou: Share = 0.3
    max_det: Count = 100
    candidates: Candidates = 300


def anchors(size: tuple[int, int], cells: tuple[tuple[int, int], ...]) -> Floats:
    """(N, 2) x y of all anchors in net pixels, float32.

    Args:
        size: Height and width of the net's input.
        cells: Stride and anchors per cell, of each grid.
    """
    points = []
    for stride, count in cells:
        height, width = -(-size[0] // stride), -(-size[1] // stride)
        y, x = np.mgrid[:height, :width].astype(np.float32)
        # The grid covers the whole picture, also where the stride does not divide it.
        middle = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) / (width, height) * size[::-1]
        points.append(np.repeat(middle, count, axis=0))
    return np.concatenate(points).astype(np.float32)


def blend(
    boxes: Floats, scores: Floats, points: Floats, threshold: float, limit: int
) -> tuple[Floats, Floats, Floats]:
    """Weighted non-maximum suppression.

    Args:
        boxes: (N, 4) x1 y1 x2 y2.
        scores: (N,) above 0.
        points: (N, K, 2) key points.
        threshold: Overlap above which a box goes into a better one, 0..1.
        limit: At most so many survive.

    Returns:
        Boxes, scores and key points of the survivors, best first; a score is the best one's.
    """
    left = np.argsort(-scores, kind="stable")
    found: list[tuple[Floats, Floats, Floats]] = []
    # All at once: a call for each survivor would take many times as long.
    close = iou(boxes, boxes) > threshold
    while len(left) and len(found) < limit:
        best = left[0]
        near = close[best, left]
        near[0] = True  # a box without area overlaps nothing, not even itself
        group = left[near]
        weight = scores[group] / max(float(scores[group].sum()), 1e-9)
        found.append((weight @ boxes[group], scores[best], np.tensordot(weight, points[group], 1)))
        left = left[~near]
    return (
        np.array([f[0] for f in found], np.float32).reshape(-1, 4),
        np.array([f[1] for f in found], np.float32),
        np.array([f[2] for f in found], np.float32).reshape(len(found), *points.shape[1:]),
    )


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "blaze")
    middles = anchors(size, p.cells)
    counts = {stride: _count(size, ((stride, number),)) for stride, number in p.cells}

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        raw = _rows(outputs, "regressors", counts, None)
        logits = _rows(outputs, "classificators", counts, 1)
        if raw.shape[1] < 4 or raw.shape[1] % 2:
            raise ModelError(
                f"the model gives regressors of {raw.shape[1]} values; the blaze layout needs 4 "
                "for the box and 2 for each key point"
            )
        scores = sigmoid(logits[:, 0])
        hits = np.flatnonzero((scores >= p.conf) & sound(raw))
        hits, class_ids, best = strongest(hits, np.zeros_like(hits), scores[hits], p.candidates)
        if not len(best):
            return Detections.empty(labels)
        boxes = from_middle(raw[hits, :4]) + np.tile(middles[hits], 2)
        points = raw[hits, 4:].reshape(len(hits), -1, 2) + middles[hits][:, None]
        boxes, best, points = blend(boxes, best, points, p.iou, p.max_det)
        score = np.broadcast_to(best[:, None, None], (*points.shape[:2], 1))
        keypoints = np.concatenate([points, score], 2) if points.shape[1] else None
        found = (boxes, best, class_ids[: len(best)])
        return finish(found, Kept(p.max_det), labels, geometry, keypoints)

    return decode


def _rows(
    outputs: Mapping[str, Floats], name: str, counts: Mapping[int, int], width: int | None
) -> Floats:
    """(N, width) of all grids, in one tensor or in one for each stride."""
    whole = sum(counts.values())
    if name in outputs or f"{name}_{min(counts)}" not in outputs:
        return rows(outputs, name, "blaze", (whole, width))
    return grids(outputs, name, "blaze", counts, width)


def recognise(file: Foreign) -> Match | None:
    """Outputs (1, N, 4 + 2K) and (1, N, 1), N that of a net of MediaPipe, or a pair per grid."""
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    for cells in KNOWN:
        named = _named(shapes, {"": _count(file.size, cells)})
        named = named or _named(shapes, {f"_{c[0]}": _count(file.size, (c,)) for c in cells})
        if named:
            return _match(file, named, cells, shapes)
    return None


def _named(shapes: Mapping[str, tuple[int, ...]], counts: Mapping[str, int]) -> dict[str, str]:
    """The decoder's names to the file's, for grids of so many rows; empty where none fits."""
    named: dict[str, str] = {}
    for suffix, count in counts.items():
        scores = [n for n, s in shapes.items() if s == (count, 1)]
        boxes = [n for n, s in shapes.items() if len(s) == 2 and s[0] == count and s[1] > 4]
        if len(scores) == len(boxes) == 1:
            named |= {f"regressors{suffix}": boxes[0], f"classificators{suffix}": scores[0]}
    widths = {shapes[name][1] for key, name in named.items() if key.startswith("regressors")}
    fits = len(named) == len(shapes) == 2 * len(counts) and len(widths) == 1
    return named if fits and not min(widths) % 2 else {}


def _match(
    file: Foreign,
    named: dict[str, str],
    cells: tuple[tuple[int, int], ...],
    shapes: Mapping[str, tuple[int, ...]],
) -> Match:
    width = shapes[next(iter(named.values()))][1]
    points = (width - 4) // 2
    # Palms have seven key points and are fed 0..1; faces (six) and poses (four) -1..1.
    mean, std = ((0.0,) * 3, (255.0,) * 3) if points == 7 else ((127.5,) * 3, (127.5,) * 3)
    pairs = [f"{file.outputs[name]}" for name in named.values()]
    return Match(
        outputs=named,
        classes=1,
        why=f"outputs {', '.join(pairs[:-1])} and {pairs[-1]}: boxes with {points} key points "
        f"on the anchors of MediaPipe for {file.size[1]}x{file.size[0]}",
        params={"cells": cells},
        fit="letterbox",
        mean=mean,
        std=std,
        pad=0,
        labels=(_THINGS[points],) if points in _THINGS else (),
    )


def _count(size: tuple[int, int], cells: tuple[tuple[int, int], ...]) -> int:
    return sum(-(-size[0] // stride) * -(-size[1] // stride) * n for stride, n in cells)
