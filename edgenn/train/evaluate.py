"""How good a predictor is, whatever runs it: the trained network or an exported file.

Training and the export gate call the same `evaluate`, so that a drop between
them is a drop of the model and not of the yardstick.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import Decode, Manifest, Task
from edgenn.errors import DataError
from edgenn.train.order import edits, gestures, said
from edgenn.types import Classification, Detections, Floats, Prediction, Steps

# Average precision needs the whole ranking, not only what a user would be shown.
EVAL_CONF = 0.001
# The number that decides, per task.
METRIC: dict[Task, str] = {
    "detect": "mAP50-95",
    "classify": "accuracy",
    "sequence": "macro_f1",
}
# The same for nets with a CTC loss.
ORDER = "order_accuracy"
MAX_DET = 100
# COCO's sizes of boxes: areas in square pixels of the original frame.
SIZES = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


class Truths(Protocol):
    """Samples of which the truth is known; `edgenn.data.feed.Feed` is one."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def truth(self, i: int) -> tuple[Floats, NDArray[np.int64]]:
        """(N, 4) boxes in pixels of the original frame and (N,) class ids of sample ``i``.

        Of a sequence the class after each reading, -1 where nothing is asked.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Metrics:
    """What was measured.

    Attributes:
        main: The number that decides, 0..1, more is better.
        name: What it is: "mAP50-95", "accuracy", "macro_f1" or "order_accuracy".
        per_class: Average precision (detect), recall (classify) or F1
            (sequence) of each class that occurs in the truth, 0..1.
        extra: Further numbers by name.
        samples: How many samples were looked at.
        confusion: (C, C) counts, row: truth, column: prediction; None for detectors.
    """

    main: float
    name: str
    per_class: dict[str, float]
    extra: dict[str, float] = field(default_factory=dict)
    samples: int = 0
    confusion: NDArray[np.int64] | None = None

    def flat(self) -> dict[str, float]:
        """All numbers: "main", the extra ones by name, and "class/NAME"."""
        each = {f"class/{name}": value for name, value in self.per_class.items()}
        return {"main": self.main, **self.extra, **each}


def evaluate(
    task: Task,
    predict: Callable[[int], Prediction | Steps],
    feed: Truths,
    labels: Sequence[str],
    blank: int = -1,
) -> Metrics:
    """Measure a predictor over all samples of a feed.

    Args:
        task: Decides the metric.
        predict: Gives the prediction for sample ``i``; boxes in pixels of the
            original frame, decoded with `EVAL_CONF`; for sequences those of all steps.
        feed: Knows the truth.
        labels: Class names in the order of the class ids.
        blank: Of a net trained with a CTC loss: class of the background. What is measured
            is then the order of the gestures, since nothing told the net when they are.

    Raises:
        DataError: There is nothing to measure on.
    """
    if not len(feed):
        raise DataError("there are no validation samples; set data.split.val, or add data")
    pairs = [(predict(i), *feed.truth(i)) for i in range(len(feed))]
    if task == "detect":
        return _detection(pairs, labels)
    if blank >= 0:
        return _order(pairs, blank)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    for prediction, _, class_ids in pairs:
        if isinstance(prediction, Steps):
            true, said = class_ids[prediction.ends], prediction.scores.argmax(1)
            np.add.at(confusion, (true[true >= 0], said[true >= 0]), 1)
        else:
            assert isinstance(prediction, Classification)
            confusion[int(class_ids[0]), prediction.class_id] += 1
    return from_confusion(confusion, labels, METRIC[task])


def blank_of(manifest: Manifest) -> int:
    """Class of the background of a model that was trained with a CTC loss, else -1."""
    if "ctc" not in manifest.temporal:
        return -1
    name = manifest.temporal["ctc"].get("blank") or manifest.labels[0]
    return manifest.labels.index(name)


def whole_ranking(decode: Decode) -> Decode:
    """The same decoder with thresholds as average precision needs them."""
    if decode.name == "classes":
        return decode
    params = {**decode.without_class_conf().params, "conf": EVAL_CONF, "max_det": MAX_DET}
    return decode.model_copy(update={"params": params})


def from_confusion(confusion: NDArray[np.int64], labels: Sequence[str], name: str) -> Metrics:
    """Accuracy and F1 from (C, C) counts, row: truth, column: prediction.

    Classes that the truth does not have count in neither mean.
    """
    right = confusion.diagonal().astype(float)
    true, said = confusion.sum(1), confusion.sum(0)
    recall = right / np.maximum(true, 1)
    f1 = 2 * right / np.maximum(true + said, 1)
    there = np.flatnonzero(true).tolist()
    scores = {
        "accuracy": float(right.sum() / confusion.sum()),
        "macro_f1": float(f1[there].mean()),
        "macro_recall": float(recall[there].mean()),
    }
    each = recall if name == "accuracy" else f1
    per_class = {labels[c]: float(each[c]) for c in there}
    main = scores.pop(name)
    return Metrics(main, name, per_class, scores, int(confusion.sum()), confusion)


def _order(
    pairs: Sequence[tuple[Prediction | Steps, Floats, NDArray[np.int64]]], blank: int
) -> Metrics:
    """Share of gestures that need no edit to stand in the right order; 0 where all do."""
    wrong = count = 0
    for steps, _, class_ids in pairs:
        assert isinstance(steps, Steps)
        wanted = gestures(class_ids, blank)
        wrong += edits(wanted.tolist(), said(steps, blank).tolist())
        count += len(wanted)
    if not count:
        raise DataError("the validation samples hold no gesture; there is nothing to measure on")
    return Metrics(max(0.0, 1 - wrong / count), ORDER, {}, {"gestures": float(count)}, len(pairs))


def _detection(
    pairs: Sequence[tuple[Prediction | Steps, Floats, NDArray[np.int64]]], labels: Sequence[str]
) -> Metrics:
    truths, found = [], []
    for image, (prediction, boxes, class_ids) in enumerate(pairs, start=1):
        assert isinstance(prediction, Detections)
        truths += _records(image, boxes, class_ids)
        found += _records(image, prediction.boxes, prediction.class_ids, prediction.scores)
    if not truths:
        raise DataError("the validation samples hold no boxes; there is nothing to measure on")
    for number, record in enumerate(truths, start=1):
        record["id"] = number
    by_size, recall = _coco(truths, found, len(pairs), len(labels))
    precision = by_size[..., 0].clip(0)
    there = sorted({int(r["category_id"]) for r in truths})
    return Metrics(
        main=float(precision[:, :, there].mean()),
        name=METRIC["detect"],
        per_class={labels[c]: float(precision[:, :, c].mean()) for c in there},
        extra={
            "mAP50": float(precision[0][:, there].mean()),
            "mAP75": float(precision[5][:, there].mean()),
            "recall": float(recall[:, there].mean()),
            **_by_size(by_size),
        },
        samples=len(pairs),
    )


def _coco(
    truths: list[dict[str, Any]], found: list[dict[str, Any]], images: int, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Precision (10 overlaps, 101 recalls, C, all sizes and each of `SIZES`) and recall (10, C).

    As COCO defines them; precision is -1 for sizes of a class that the truth does not have.
    """
    if not found:
        return np.zeros((10, 101, classes, 1)), np.zeros((10, classes))
    from faster_coco_eval import COCO, COCOeval_faster

    def quiet(*_: object) -> None: ...

    truth = COCO(
        {
            "images": [{"id": i, "width": 0, "height": 0} for i in range(1, images + 1)],
            "categories": [{"id": c, "name": str(c)} for c in range(classes)],
            "annotations": truths,
        },
        print_function=quiet,
    )
    judge = COCOeval_faster(truth, truth.loadRes(found), "bbox", print_function=quiet)
    judge.params.maxDets = [MAX_DET]
    judge.params.areaRng = [[0, 1e10], *map(list, SIZES.values())]
    judge.params.areaRngLbl = ["all", *SIZES]
    judge.evaluate()
    judge.accumulate()
    # Classes that the truth does not have are -1 there.
    return judge.eval["precision"][..., 0], judge.eval["recall"][..., 0, 0].clip(0)


def _by_size(precision: NDArray[np.float64]) -> dict[str, float]:
    """Mean average precision of the sizes that the truth has."""
    scores = {}
    for i, name in enumerate(SIZES, start=1):
        if i < precision.shape[3] and (known := precision[..., i][precision[..., i] >= 0]).size:
            scores[f"mAP50-95/{name}"] = float(known.mean())
    return scores


def _records(
    image: int, boxes: Floats, class_ids: NDArray[np.int64], scores: Floats | None = None
) -> list[dict[str, Any]]:
    records = []
    for i, (x1, y1, x2, y2) in enumerate(boxes.astype(float).tolist()):
        record: dict[str, Any] = {
            "image_id": image,
            "category_id": int(class_ids[i]),
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        if scores is not None:
            record["score"] = float(scores[i])
        records.append(record)
    return records
