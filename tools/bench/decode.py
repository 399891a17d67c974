"""Time of what follows a detector's inference: choosing cells, boxes, suppression.

    python tools/bench/decode.py [--size 320] [--classes 80] [--boxes 300]

Random outputs in which so many cells pass the threshold. Prints milliseconds of
the shipped decoder, of its suppression alone, and beside them of a plain greedy
suppression that compares one box at a time, as a ratio.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np

from edgenn.ops.boxes import iou, nms
from edgenn.ops.decode.ltrb import build, centers
from edgenn.ops.preprocess import Letterbox, geometry
from edgenn.types import Floats

STRIDES = (8, 16, 32)


def plain(boxes: Floats, scores: Floats, class_ids: np.ndarray, limit: float) -> list[int]:
    """The baseline: every box against those kept so far."""
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable"):
        rivals = [k for k in kept if class_ids[k] == class_ids[i]]
        if all(iou(boxes[i : i + 1], boxes[k : k + 1])[0, 0] <= limit for k in rivals):
            kept.append(int(i))
    return kept


def median(run: Callable[[], object], rounds: int) -> float:
    """Milliseconds."""
    taken = []
    for _ in range(rounds):
        start = perf_counter()
        run()
        taken.append(perf_counter() - start)
    return float(np.median(taken)) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--boxes", type=int, default=300)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    size = (args.size, args.size)
    points, scales = centers(size, STRIDES)
    logits = np.full((len(points), args.classes), -9.0, np.float32)
    cells = rng.choice(len(points), args.boxes, replace=False)
    ids = rng.integers(0, args.classes, args.boxes)
    logits[cells, ids] = rng.uniform(0, 3, args.boxes)
    distances = rng.uniform(0.5, 4, (len(points), 4)).astype(np.float32)
    labels = tuple(map(str, range(args.classes)))
    decode = build({"strides": STRIDES, "conf": 0.3, "max_det": args.boxes}, labels, size)
    outputs = {"boxes": distances[None], "scores": logits[None]}
    frame = geometry((480, 640), Letterbox(size))
    reach = distances[cells] * scales[cells]
    boxes = np.concatenate([points[cells] - reach[:, :2], points[cells] + reach[:, 2:]], 1)
    scores = logits[cells, ids]
    whole = median(lambda: decode(outputs, frame), 300)
    fast = median(lambda: nms(boxes, scores, ids, 0.6, args.boxes), 300)
    slow = median(lambda: plain(boxes, scores, ids, 0.6), 5)
    print(f"{len(points)} cells, {args.classes} classes, {args.boxes} boxes above the threshold")
    print(f"decoder             {whole:7.3f} ms")
    print(f"  its suppression   {fast:7.3f} ms, {fast / slow:.4f} of the plain one")
    print(f"plain suppression   {slow:7.3f} ms")


if __name__ == "__main__":
    main()
