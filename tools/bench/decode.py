"""Time of what follows a detector's inference, for every output layout.

    python tools/bench/decode.py [--only NAME] [--candidates 300] [--rounds 200]

Random outputs in which so many cells pass the threshold. Prints the median in milliseconds, and
beside it a plain decoder's, as a ratio: it computes scores, best classes and boxes of all cells,
and suppresses greedily, one box at a time. `LAYOUTS` has a function for each; a newcomer adds its
own there.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from edgenn import plugins
from edgenn.ops import decode
from edgenn.ops.decode._anchors import MultiScale, generate
from edgenn.ops.decode._foreign import from_middle, sigmoid, softmax
from edgenn.ops.decode.blaze import anchors as blaze_anchors
from edgenn.ops.decode.ltrb import centers
from edgenn.ops.preprocess import Letterbox, geometry
from edgenn.types import Detections, Floats

STRIDES = (8, 16, 32)
IOU = 0.5


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        size: Height and width of the net's input.
        cells: How many boxes the net predicts.
        classes: How many it tells apart.
        outputs: Tensors by the names of the layout.
        plain: Boxes (cells, 4) x1 y1 x2 y2 in net pixels and scores (cells, classes) of all of
            these outputs.
        params: Of the layout.
        suppressed: Whether boxes that overlap are left.
    """

    size: tuple[int, int]
    cells: int
    classes: int
    outputs: dict[str, Floats]
    plain: Callable[[dict[str, Floats]], tuple[Floats, Floats]]
    params: Mapping[str, Any] = field(default_factory=dict)
    suppressed: bool = False


def scores(
    rng: np.random.Generator, cells: int, classes: int, count: int, levels: tuple[float, float]
) -> Floats:
    """(cells, classes) of the lower level; in ``count`` cells one class has the higher or more."""
    values = np.full((cells, classes), levels[0], np.float32)
    chosen = rng.choice(cells, min(count, cells), replace=False)
    ids = rng.integers(0, classes, len(chosen))
    values[chosen, ids] = levels[1] + rng.uniform(0, 0.4, len(chosen))
    return values


def places(rng: np.random.Generator, cells: int, side: int) -> Floats:
    """(cells, 4) centre, width and height of boxes in net pixels."""
    middle = rng.uniform(0, side, (cells, 2))
    return np.concatenate([middle, rng.uniform(8, side / 3, (cells, 2))], 1).astype(np.float32)


def grid(side: int, strides: tuple[int, ...]) -> int:
    """Cells of a square picture."""
    return sum((-(-side // s)) ** 2 for s in strides)


def ltrb(rng: np.random.Generator, count: int) -> Case:
    """Edgenn's own detectors."""
    size = (320, 320)
    points, scales = centers(size, STRIDES)
    outputs = {
        "boxes": rng.uniform(0.5, 4, (1, len(points), 4)).astype(np.float32),
        "scores": scores(rng, len(points), 80, count, (-9, 0))[None],
    }

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        reach = t["boxes"][0] * scales
        boxes = np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)
        return boxes, sigmoid(t["scores"][0])

    return Case(size, len(points), 80, outputs, plain, {"strides": STRIDES})


def yolov8(rng: np.random.Generator, count: int) -> Case:
    """YOLOv8 of 640x640."""
    cells = grid(640, STRIDES)
    rows = np.concatenate([places(rng, cells, 640), scores(rng, cells, 80, count, (0.01, 0.5))], 1)
    outputs = {"rows": np.ascontiguousarray(rows.T)[None]}
    return Case(
        (640, 640),
        cells,
        80,
        outputs,
        lambda t: (from_middle(t["rows"][0, :4].T), t["rows"][0, 4:].T),
    )


def yolov5(rng: np.random.Generator, count: int) -> Case:
    """YOLOv5 of 640x640."""
    cells = 3 * grid(640, STRIDES)
    found = scores(rng, cells, 80, count, (0.01, 0.6))
    there = np.where(found.max(1, keepdims=True) > 0.5, 0.9, 0.01)
    rows = np.concatenate([places(rng, cells, 640), there, found], 1).astype(np.float32)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["rows"][0]
        return from_middle(values[:, :4]), values[:, 4:5] * values[:, 5:]

    return Case((640, 640), cells, 80, {"rows": rows[None]}, plain)


def yolox(rng: np.random.Generator, count: int) -> Case:
    """YOLOX of 416x416."""
    size = (416, 416)
    points, scales = centers(size, STRIDES)
    corners = points / scales - 0.5
    found = scores(rng, len(points), 80, count, (0.01, 0.6))
    there = np.where(found.max(1, keepdims=True) > 0.5, 0.9, 0.01)
    boxes = rng.uniform(0, 1.5, (len(points), 4))
    rows = np.concatenate([boxes, there, found], 1).astype(np.float32)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["rows"][0]
        middle, sides = (values[:, :2] + corners) * scales, np.exp(values[:, 2:4]) * scales
        return from_middle(np.concatenate([middle, sides], 1)), values[:, 4:5] * values[:, 5:]

    return Case(size, len(points), 80, {"rows": rows[None]}, plain)


def end2end(rng: np.random.Generator, count: int) -> Case:
    """YOLOv10 of 640x640, nothing to suppress."""
    cells = max(300, count)
    rows = np.zeros((1, cells, 6), np.float32)
    rows[0, :, :4] = from_middle(places(rng, cells, 640))
    rows[0, :count, 4], rows[0, :, 5] = 0.5, rng.integers(0, 80, cells)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["rows"][0]
        one_hot = np.eye(80, dtype=np.float32)[values[:, 5].astype(int)]
        return values[:, :4], one_hot * values[:, 4:5]

    return Case((640, 640), cells, 80, {"rows": rows}, plain, suppressed=True)


def fastestdet(rng: np.random.Generator, count: int) -> Case:
    """FastestDet of 352x352."""
    cells = 22 * 22
    found = scores(rng, cells, 80, count, (0.001, 0.6)).T
    there = np.where(found.max(0, keepdims=True) > 0.5, 0.9, 0.01)
    rows = np.concatenate([there, rng.normal(size=(4, cells)), found]).astype(np.float32)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["map"].reshape(85, cells)
        y, x = np.divmod(np.arange(cells), 22)
        middle = (np.stack([x, y], 1) + np.tanh(values[1:3].T)) * 16
        boxes = np.concatenate([middle, sigmoid(values[3:5].T) * 352], 1)
        return from_middle(boxes.astype(np.float32)), (values[:1] ** 0.6 * values[5:] ** 0.4).T

    return Case((352, 352), cells, 80, {"map": rows.reshape(1, 85, 22, 22)}, plain)


def _reach(logits: Floats, points: Floats, scales: Floats) -> Floats:
    reach = (softmax(logits.reshape(-1, 4, 8)) * np.arange(8)).sum(2) * scales
    return np.concatenate([points - reach[:, :2], points + reach[:, 2:]], 1)


def nanodet(rng: np.random.Generator, count: int) -> Case:
    """NanoDet-Plus of 416x416."""
    size, strides = (416, 416), (8, 16, 32, 64)
    points, scales = centers(size, strides)
    logits = rng.normal(0, 2, (len(points), 32))
    found = scores(rng, len(points), 80, count, (0.01, 0.5))
    rows = np.concatenate([found, logits], 1)[None].astype(np.float32)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["rows"][0]
        return _reach(values[:, 80:], points - scales / 2, scales), values[:, :80]

    return Case(size, len(points), 80, {"rows": rows}, plain)


def picodet(rng: np.random.Generator, count: int) -> Case:
    """PicoDet of 416x416."""
    size, strides = (416, 416), (8, 16, 32, 64)
    points, scales = centers(size, strides)
    found = scores(rng, len(points), 80, count, (0.01, 0.5))
    logits = rng.normal(0, 2, (len(points), 32)).astype(np.float32)
    ends = np.cumsum([grid(416, (s,)) for s in strides])[:-1]
    parts = zip(strides, np.split(found, ends), np.split(logits, ends), strict=True)
    outputs = {f"{k}_{s}": v[None] for s, a, b in parts for k, v in (("scores", a), ("boxes", b))}

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        joined = np.concatenate([t[f"boxes_{s}"][0] for s in strides])
        values = np.concatenate([t[f"scores_{s}"][0] for s in strides])
        return _reach(joined, points, scales), values

    return Case(size, len(points), 80, outputs, plain)


def ssd(rng: np.random.Generator, count: int) -> Case:
    """TensorFlow's SSD of 300x300 with 90 classes."""
    size = (300, 300)
    anchors = generate(MultiScale(), size)
    offsets = rng.normal(size=(len(anchors), 4)).astype(np.float32)
    logits = scores(rng, len(anchors), 91, 0, (-9, 0))
    logits[:, 1:] = scores(rng, len(anchors), 90, count, (-9, 0))

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["boxes"][0] * np.float32([0.1, 0.1, 0.2, 0.2])
        middle = anchors[:, :2] + values[:, 1::-1] * anchors[:, 2:]
        sides = np.exp(values[:, 3:1:-1]) * anchors[:, 2:]
        return from_middle(np.concatenate([middle, sides], 1)), sigmoid(t["scores"][0])[:, 1:]

    outputs = {"boxes": offsets[None], "scores": logits[None]}
    return Case(size, len(anchors), 90, outputs, plain)


def ultraface(rng: np.random.Generator, count: int) -> Case:
    """UltraFace of 240x320."""
    low = rng.uniform(0, 0.8, (4420, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.02, 0.2, (4420, 2))], 1).astype(np.float32)
    face = scores(rng, 4420, 1, count, (0.01, 0.58))
    outputs = {"boxes": boxes[None], "scores": np.concatenate([1 - face, face], 1)[None]}

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        return t["boxes"][0] * np.float32([320, 240, 320, 240]), t["scores"][0, :, 1:]

    return Case((240, 320), 4420, 1, outputs, plain, {"conf": 0.5})


def detr(rng: np.random.Generator, count: int) -> Case:
    """RT-DETR of 640x640, nothing to suppress."""
    cells = max(300, count)
    outputs = {
        "logits": scores(rng, cells, 80, count, (-9, 0.1))[None],
        "boxes": places(rng, cells, 640)[None] / np.float32(640),
    }
    return Case(
        (640, 640),
        cells,
        80,
        outputs,
        lambda t: (from_middle(t["boxes"][0]) * 640, sigmoid(t["logits"][0])),
        suppressed=True,
    )


def blaze(rng: np.random.Generator, count: int) -> Case:
    """MediaPipe's palms of 192x192, which are blended."""
    cells = ((8, 2), (16, 6))
    middles = blaze_anchors((192, 192), cells)
    raw = rng.normal(0, 4, (len(middles), 18)).astype(np.float32)
    raw[:, 2:4] = rng.uniform(10, 60, (len(middles), 2))
    outputs = {
        "regressors": raw[None],
        "classificators": scores(rng, len(middles), 1, count, (-9, 1))[None],
    }

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        boxes = from_middle(t["regressors"][0, :, :4]) + np.tile(middles, 2)
        return boxes, sigmoid(t["classificators"][0])

    return Case((192, 192), len(middles), 1, outputs, plain, {"cells": cells})


def ssd_post(rng: np.random.Generator, count: int) -> Case:
    """TensorFlow's post-processing of 300x300, nothing to suppress."""
    middles = places(rng, count, 300)
    outputs = {
        "boxes": from_middle(middles)[None][..., [1, 0, 3, 2]] / np.float32(300),
        "classes": rng.integers(0, 90, (1, count)).astype(np.float32),
        "scores": np.sort(rng.uniform(0.5, 0.9, (1, count)))[:, ::-1].astype(np.float32),
        "count": np.float32([count]),
    }

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        one_hot = np.eye(90, dtype=np.float32)[t["classes"][0].astype(int)]
        return t["boxes"][0][:, [1, 0, 3, 2]] * 300, one_hot * t["scores"][0][:, None]

    return Case((300, 300), count, 90, outputs, plain, suppressed=True)


def movenet(rng: np.random.Generator, count: int) -> Case:
    """MoveNet of six people in 256x256, with their key points."""
    del count
    low = (0.2 * np.mgrid[:2, :3]).reshape(2, 6).T.astype(np.float32)
    people = rng.uniform(0.4, 0.9, (6, 17, 3)).astype(np.float32)
    boxes = np.concatenate([low, low + np.float32(0.2), np.full((6, 1), 0.8)], 1)
    rows = np.concatenate([people.reshape(6, -1), boxes], 1)[None].astype(np.float32)

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        values = t["people"][0]
        return values[:, [52, 51, 54, 53]] * 256, values[:, 55:]

    return Case((256, 256), 6, 1, {"people": rows}, plain)


def landmarks(rng: np.random.Generator, count: int) -> Case:
    """MediaPipe's hand of 224x224: 21 points of one thing."""
    del count
    outputs = {
        "points": rng.uniform(10, 200, (1, 63)).astype(np.float32),
        "presence": np.float32([[0.9]]),
        "handedness": np.float32([[0.8]]),
    }

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        spots = t["points"].reshape(21, 3)[:, :2]
        right = t["handedness"][0, 0] > 0.5
        one_hot = np.eye(2, dtype=np.float32)[[int(right)]]
        return np.concatenate([spots.min(0), spots.max(0)])[None], one_hot * t["presence"]

    return Case((224, 224), 1, 2, outputs, plain, suppressed=True)


def classes(rng: np.random.Generator, count: int) -> Case:
    """A classifier of a thousand classes; there are no boxes."""
    del count
    logits = rng.normal(size=(1, 1000)).astype(np.float32)
    logits[0, 7] = 20

    def plain(t: dict[str, Floats]) -> tuple[Floats, Floats]:
        return np.zeros((1, 4), np.float32), softmax(t["logits"])

    return Case((224, 224), 1, 1000, {"logits": logits}, plain, suppressed=True)


LAYOUTS: dict[str, Callable[[np.random.Generator, int], Case]] = {
    "ltrb": ltrb,
    "yolov8": yolov8,
    "yolov5": yolov5,
    "yolox": yolox,
    "end2end": end2end,
    "fastestdet": fastestdet,
    "nanodet": nanodet,
    "picodet": picodet,
    "ssd": ssd,
    "ultraface": ultraface,
    "detr": detr,
    "blaze": blaze,
    "ssd_post": ssd_post,
    "movenet": movenet,
    "landmarks": landmarks,
    "classes": classes,
}


def greedy(boxes: Floats, best: Floats, ids: np.ndarray, limit: float) -> list[int]:
    """Suppression of one box at a time: the best that is left, against all that are left."""
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1) * (y2 - y1)
    left, kept = np.argsort(-best, kind="stable"), []
    while len(left):
        i, left = left[0], left[1:]
        kept.append(int(i))
        w = np.minimum(x2[i], x2[left]) - np.maximum(x1[i], x1[left])
        h = np.minimum(y2[i], y2[left]) - np.maximum(y1[i], y1[left])
        inter = w.clip(min=0) * h.clip(min=0)
        apart = inter / (areas[i] + areas[left] - inter).clip(min=1e-9) <= limit
        left = left[apart | (ids[left] != ids[i])]
    return kept


def plainly(case: Case, conf: float) -> int:
    """All cells, then the threshold; how many boxes are left."""
    boxes, values = case.plain(case.outputs)
    ids, best = values.argmax(1), values.max(1)
    hits = np.flatnonzero(best >= conf)
    if case.suppressed:
        return len(hits)
    return len(greedy(boxes[hits], best[hits], ids[hits], IOU))


def median(run: Callable[[], object], rounds: int) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        run()
        taken.append(perf_counter() - start)
    return float(np.median(taken)) * 1e3


def row(name: str, candidates: int, rounds: int) -> str:
    """The table's line of one layout."""
    case = LAYOUTS[name](np.random.default_rng(0), candidates)
    conf = float(case.params.get("conf", 0.4))
    labels = tuple(map(str, range(case.classes)))
    plugin = plugins.load(decode, name)
    wishes = {"max_det": candidates, "conf": conf, **case.params}
    if not case.suppressed:
        wishes["iou"] = IOU
    fitting = {f.name for f in dataclasses.fields(plugin.Params)}
    params = {k: v for k, v in wishes.items() if k in fitting or k in case.params}
    shipped = plugin.build(params, labels, case.size)
    frame = geometry((480, 640), Letterbox(case.size))
    first = shipped(case.outputs, frame)
    found = len(first) if isinstance(first, Detections) else 1
    if found != plainly(case, conf):
        raise SystemExit(f"{name}: {found} boxes, but {plainly(case, conf)} of the plain decoder")
    passing = int((case.plain(case.outputs)[1].max(1) >= conf).sum())
    fast = median(lambda: shipped(case.outputs, frame), rounds)
    slow = median(lambda: plainly(case, conf), max(5, rounds // 10))
    return (
        f"| {name} | {case.cells} | {case.classes} | {passing} | {found} | {fast:.3f} | "
        f"{slow:.3f} | {fast / slow:.2f} |"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=LAYOUTS)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=200)
    args = parser.parse_args()
    print("| layout | cells | classes | candidates | boxes | ms p50 | plain ms | ratio |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in [args.only] if args.only else LAYOUTS:
        print(row(name, args.candidates, args.rounds))


if __name__ == "__main__":
    main()
