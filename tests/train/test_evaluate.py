from __future__ import annotations

import numpy as np
import pytest

from edgenn.bundle.manifest import Decode
from edgenn.errors import DataError
from edgenn.ops.boxes import iou
from edgenn.train.evaluate import EVAL_CONF, MAX_DET, evaluate, from_confusion, whole_ranking
from edgenn.types import Classification, Detections

LABELS = ("a", "b", "never")


class Truth:
    """Samples whose truth is a list."""

    def __init__(self, truths):
        self.truths = truths

    def __len__(self):
        return len(self.truths)

    def truth(self, i):
        return self.truths[i]


def scenes(count=12):
    rng = np.random.default_rng(0)
    truths = []
    for i in range(count):
        n = i % 4
        corner = rng.uniform(0, 100, (n, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 60, (n, 2))], 1)
        truths.append((boxes.astype(np.float32), rng.integers(0, 2, n)))
    return truths


def shaken(truths, sigma):
    rng = np.random.default_rng(1)
    return [
        Detections(
            (boxes + rng.normal(0, sigma, boxes.shape)).astype(np.float32),
            rng.uniform(0.1, 1, len(boxes)).astype(np.float32),
            class_ids,
            LABELS,
        )
        for boxes, class_ids in truths
    ]


def average_precision(truths, found, class_id, threshold):
    """COCO's 101-point average precision, one detection at a time."""
    ranked = sorted(
        ((float(d.scores[k]), i, k) for i, d in enumerate(found) for k in range(len(d))),
        reverse=True,
    )
    taken, hits = set(), []
    for _, i, k in ranked:
        if found[i].class_ids[k] != class_id:
            continue
        boxes, ids = truths[i]
        best, match = threshold, None
        for m in np.flatnonzero(ids == class_id):
            overlap = float(iou(found[i].boxes[k : k + 1], boxes[m : m + 1])[0, 0])
            if (i, m) not in taken and overlap >= best:
                best, match = overlap, (i, m)
        hits.append(match is not None)
        if match:
            taken.add(match)
    total = sum(int((ids == class_id).sum()) for _, ids in truths)
    right = np.cumsum(hits)
    precision = right / np.arange(1, len(hits) + 1)
    recall = right / total
    return np.mean([max(precision[recall >= r], default=0.0) for r in np.linspace(0, 1, 101)])


def test_average_precision_is_cocos():
    truths = scenes()
    found = shaken(truths, 4)
    metrics = evaluate("detect", found.__getitem__, Truth(truths), LABELS)
    steps = np.linspace(0.5, 0.95, 10)
    wanted = {
        LABELS[c]: np.mean([average_precision(truths, found, c, t) for t in steps]) for c in (0, 1)
    }
    assert metrics.per_class == pytest.approx(wanted, abs=1e-3)
    assert metrics.main == pytest.approx(np.mean(list(wanted.values())), abs=1e-3)
    assert metrics.extra["mAP50"] == pytest.approx(
        np.mean([average_precision(truths, found, c, 0.5) for c in (0, 1)]), abs=1e-3
    )
    assert 0.1 < metrics.main < 0.9
    assert metrics.name == "mAP50-95"
    assert metrics.samples == len(truths)


def test_perfect_and_empty_detectors():
    truths = scenes()
    perfect = evaluate("detect", shaken(truths, 0).__getitem__, Truth(truths), LABELS)
    assert perfect.main == pytest.approx(1)
    nothing = evaluate("detect", lambda i: Detections.empty(LABELS), Truth(truths), LABELS)
    assert nothing.main == 0
    assert nothing.per_class == {"a": 0, "b": 0}


def test_evaluation_prints_nothing(capfd):
    truths = scenes()
    evaluate("detect", shaken(truths, 2).__getitem__, Truth(truths), LABELS)
    assert capfd.readouterr() == ("", "")


def test_accuracy_and_f1_by_hand():
    # 3 of "a": two right, one taken for "b"; 1 of "b": right.
    said = [0, 0, 1, 1]
    true = [0, 0, 0, 1]
    empty = np.zeros((0, 4), np.float32)
    truths = Truth([(empty, np.array([c])) for c in true])

    def predict(i):
        return Classification(np.eye(3, dtype=np.float32)[said[i]], LABELS)

    plain = evaluate("classify", predict, truths, LABELS)
    assert (plain.name, plain.main) == ("accuracy", 0.75)
    assert plain.per_class == pytest.approx({"a": 2 / 3, "b": 1.0})
    assert plain.confusion.tolist() == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    rhythm = evaluate("sequence", predict, truths, LABELS)
    assert rhythm.name == "macro_f1"
    assert rhythm.per_class == pytest.approx({"a": 0.8, "b": 2 / 3})
    assert rhythm.main == pytest.approx((0.8 + 2 / 3) / 2)
    assert rhythm.extra["accuracy"] == 0.75


def test_flat_names_every_number():
    flat = from_confusion(np.array([[1, 1], [0, 2]]), ("x", "y"), "accuracy").flat()
    assert flat["main"] == 0.75
    assert flat["class/x"] == 0.5


@pytest.mark.parametrize("truths", [[], [(np.zeros((0, 4), np.float32), np.zeros(0, np.int64))]])
def test_nothing_to_measure_is_an_error(truths):
    with pytest.raises(DataError, match="validation samples"):
        evaluate("detect", lambda i: Detections.empty(LABELS), Truth(truths), LABELS)


def test_thresholds_are_lowered_for_detectors_alone():
    lowered = whole_ranking(Decode(name="ltrb", params={"conf": 0.4, "strides": [8]}))
    assert lowered.params == {"conf": EVAL_CONF, "max_det": MAX_DET, "strides": [8]}
    assert whole_ranking(Decode(name="classes")).params == {}
