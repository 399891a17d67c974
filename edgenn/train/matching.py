"""Which detections are right: for precision, recall, thresholds and the worst pictures.

A detection is right if it overlaps a true box of its class by half or more
and no better one took that box: the rule of Pascal VOC, Everingham et al. 2010
(https://doi.org/10.1007/s11263-009-0275-4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenn.ops.boxes import iou
from edgenn.types import Detections, Floats

OVERLAP = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """How a class does at every threshold.

    Attributes:
        scores: (N,) float64, falling: the thresholds, 0..1.
        precision: (N,) float64: share of the boxes found that are right.
        recall: (N,) float64: share of the true boxes that are found.
    """

    scores: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    @property
    def f1(self) -> NDArray[np.float64]:
        """(N,) float64: harmonic mean of precision and recall; 0 where both are 0."""
        return 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-9)

    def best(self) -> tuple[float, float]:
        """Threshold with the highest F1, and that F1; (1, 0) where nothing right is found.

        Half way to the next lower score, so that a small difference between two
        engines loses no box.
        """
        f1 = self.f1
        if not f1.any():
            return 1.0, 0.0
        at = int(f1.argmax())
        below = self.scores[at + 1] if at + 1 < len(self.scores) else 0.0
        return float((self.scores[at] + below) / 2), float(f1[at])


def match(found: Detections, boxes: Floats, class_ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(N,) whether each detection is right.

    Args:
        found: Detections, best first.
        boxes: (M, 4) true boxes, in the same pixels.
        class_ids: (M,) their classes.
    """
    right = np.zeros(len(found), bool)
    if not len(boxes):
        return right
    overlaps = iou(found.boxes, boxes) * (found.class_ids[:, None] == class_ids[None, :])
    for i in range(len(found)):
        best = int(overlaps[i].argmax())
        if overlaps[i, best] >= OVERLAP:
            right[i] = True
            overlaps[:, best] = 0
    return right


def curve(scores: Floats, right: NDArray[np.bool_], true: int) -> Curve:
    """Precision and recall of one class at each score that occurs.

    Args:
        scores: (N,) of all its detections in all pictures.
        right: (N,) whether they are right.
        true: How many true boxes there are, at least 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(right[order])
    # Equal scores stand or fall together.
    last = np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)]
    hits, count = hits[last], np.flatnonzero(last) + 1
    return Curve(ranked[last], hits / count, hits / true)


def curves(
    found: Sequence[Detections], truths: Sequence[tuple[Floats, NDArray[np.int64]]]
) -> dict[int, Curve]:
    """The curve of every class that the truth has.

    Args:
        found: Detections of each picture, decoded with a low threshold.
        truths: (M, 4) boxes and (M,) class ids of each picture.
    """
    if not found:
        return {}
    right = np.concatenate([match(f, *t) for f, t in zip(found, truths, strict=True)])
    scores = np.concatenate([f.scores for f in found])
    said = np.concatenate([f.class_ids for f in found])
    true = np.concatenate([class_ids for _, class_ids in truths])
    return {
        int(c): curve(scores[said == c], right[said == c], int((true == c).sum()))
        for c in np.unique(true)
    }
