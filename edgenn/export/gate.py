"""The accuracy gate: every written file must still do its job.

Each variant is run by the runtime's own engine, with the runtime's own pre-
and post-processing, over the whole validation split, and held against the
trained network over the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgenn.bundle.manifest import Manifest, Variant
from edgenn.compress._quiet import quiet
from edgenn.data.feed import Feed
from edgenn.export.golden import tolerance
from edgenn.runtime.golden import GoldenSample, compare
from edgenn.runtime.model import Model
from edgenn.train.evaluate import Metrics, blank_of, evaluate, whole_ranking
from edgenn.types import Classification, Floats, Image, Prediction, Steps


@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """How one variant did.

    Attributes:
        variant: The file, with metrics and tolerance filled in.
        data: Its bytes.
        metrics: Task metrics over the validation split.
        drop: Main metric of the trained network less this one's.
        lost: Class to how much it lost, largest loss first.
        max_abs: Largest difference of each raw output on the golden samples.
        passed: Whether ``drop`` is within bounds.
    """

    variant: Variant
    data: bytes
    metrics: Metrics
    drop: float
    lost: dict[str, float]
    max_abs: dict[str, float]
    passed: bool

    @property
    def worst(self) -> tuple[str, float]:
        """The class that lost most, and how much."""
        return next(iter(self.lost.items()), ("", 0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Yardstick:
    """What variants are held against.

    Attributes:
        feed: Validation samples.
        reference: What the trained network scores on them.
        golden: Samples with the trained network's outputs.
        max_drop: Largest allowed loss of the main metric, absolute.
    """

    feed: Feed
    reference: Metrics
    golden: Sequence[GoldenSample]
    max_drop: float


def score(
    manifest: Manifest,
    variant: Variant,
    data: bytes,
    yardstick: Yardstick,
    tick: Callable[[], object] = lambda: None,
) -> Score:
    """Measure one variant.

    Args:
        manifest: Of the model.
        variant: Describes the file; its metrics and tolerance are not read.
        data: The file.
        yardstick: What to hold it against.
        tick: Called after every sample.
    """
    feed, reference = yardstick.feed, yardstick.reference
    ranking = manifest.model_copy(update={"decode": whole_ranking(manifest.decode)})
    with quiet():  # LiteRT announces itself whenever it loads a model
        model, live = Model(ranking, variant, data), Model(manifest, variant, data)
    times: list[float] = []

    def predict(i: int) -> Prediction | Steps:
        prediction = look(model, feed.raw(i), times)
        tick()
        return prediction

    metrics = evaluate(manifest.task, predict, feed, manifest.labels, blank_of(manifest))
    drop = reference.main - metrics.main
    lost = {c: reference.per_class[c] - metrics.per_class[c] for c in metrics.per_class}
    worst, agreed, _ = compare(live, yardstick.golden)
    p50, p95 = np.percentile(times, (50, 95))
    filled = variant.model_copy(
        update={
            "metrics": {
                metrics.name: round(metrics.main, 5),
                "drop": round(drop, 5),
                "latency_p50_ms": round(float(p50), 3),
                "latency_p95_ms": round(float(p95), 3),
                "golden_agreement": round(agreed, 5),
            },
            "tolerance": tolerance(variant, worst, agreed, list(yardstick.golden)),
        }
    )
    order = dict(sorted(lost.items(), key=lambda item: -item[1]))
    return Score(filled, data, metrics, drop, order, worst, bool(drop <= yardstick.max_drop))


def look(model: Model, raw: Image | Floats, times: list[float]) -> Prediction | Steps:
    """What a model says of a picture, recording or clip; adds milliseconds of inference."""
    if not model.manifest.input.rate:
        prediction = model.predict(raw)
        times.append(model.latency_ms["inference"])
        return prediction
    ends, scores = [], []
    for end, prediction in model.follow(raw):
        assert isinstance(prediction, Classification)
        ends.append(end)
        scores.append(prediction.scores)
        times.append(model.latency_ms["inference"])
    return Steps(np.array(ends, np.int64), np.stack(scores), model.labels)
