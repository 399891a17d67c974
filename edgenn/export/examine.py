"""The whole of ``edgenn eval``: measure a bundle on labelled data, as the device runs it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from edgenn.bundle.manifest import Manifest, Variant
from edgenn.bundle.store import write_text
from edgenn.data import Clip, Picture, Progress, Recording
from edgenn.data.feed import Feed
from edgenn.data.load import guess_format, load_dataset, read_good
from edgenn.errors import DataError
from edgenn.export import streams
from edgenn.export.gate import look
from edgenn.recipe.schema import Recipe
from edgenn.runtime.model import Model
from edgenn.train import matching, pictures
from edgenn.train.evaluate import Metrics, blank_of, evaluate, whole_ranking
from edgenn.train.events import EventMetrics, Stream, measure
from edgenn.train.timeline import timeline
from edgenn.types import Detections, Floats, Prediction, Steps

_log = logging.getLogger(__name__)

WORST = 12
Truth = tuple[Floats, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Examination:
    """What was found out.

    Attributes:
        manifest: Of the model.
        variant: The file that was run.
        metrics: Over all samples.
        predictions: One per sample; detectors with their whole ranking.
        curves: Detectors only: label to precision and recall at every threshold.
        feed: The samples.
        latency_ms: Median and 95th percentile of one inference.
        streams: Sequence models, where events can be measured: each recording with
            the events in it.
        events: What was measured of them.
    """

    manifest: Manifest
    variant: Variant
    metrics: Metrics
    predictions: list[Prediction | Steps]
    curves: dict[str, matching.Curve]
    feed: Feed
    latency_ms: tuple[float, float]
    streams: Sequence[Stream] = ()
    events: EventMetrics | None = None

    def suggested_conf(self) -> dict[str, float]:
        """Label to the threshold with the highest F1; without classes that were never found."""
        best = {name: line.best() for name, line in self.curves.items()}
        return {name: round(conf, 4) for name, (conf, f1) in best.items() if f1 > 0}


def samples_of(
    manifest: Manifest, data: Path, layout: str | None, progress: Progress
) -> tuple[Recipe, Sequence[Picture] | Sequence[Recording] | Sequence[Clip]]:
    """Labelled samples of a data set, with the model's labels and channels.

    Where the data itself says what is for validation, only that is taken.

    Raises:
        DataError: Missing, unreadable, without the model's labels, or of a layout that
            the model's task cannot use.
    """
    spec = manifest.input
    settings: dict[str, Any] = {
        "format": layout or guess_format(data),
        "path": str(data),
        "labels": list(manifest.labels),
    }
    sizes = {}
    if spec.kind == "window":
        background = manifest.labels[spec.background] if spec.background >= 0 else ""
        settings |= {"channels": list(spec.channels), "rate": spec.rate, "background": background}
        window = spec.span or spec.length
        stride = spec.stride if window == spec.length else max(1, window // 4)
        sizes = {"input": {"sample": spec.sample, "window": window, "stride": stride}}
    elif spec.rate:
        settings |= {"rate": spec.rate}
    document = {"name": "eval", "task": manifest.task, "data": settings, "net": {"family": "any"}}
    try:
        recipe = Recipe.model_validate(document | sizes)
    except ValidationError as error:
        raise DataError(f"{data}: {error.errors()[0]['msg']}; name it with --format") from error
    raw = read_good(recipe, data, progress)
    samples: Sequence[Any] = raw.recordings if spec.kind == "window" else raw.pictures
    if spec.kind == "image" and spec.rate:
        samples = raw.clips
    marked = [sample for sample in samples if sample.split == "val"]
    if marked and len(marked) < len(samples):
        _log.info("%d of %d samples: those for validation", len(marked), len(samples))
    return recipe, marked or samples


def samples_of_recipe(
    manifest: Manifest, recipe: Recipe, progress: Progress
) -> tuple[Recipe, Sequence[Picture] | Sequence[Recording] | Sequence[Clip]]:
    """The validation samples of a recipe for models with the same task and labels.

    Raises:
        DataError: Missing or unreadable, or for another kind of model.
    """
    if recipe.task != manifest.task:
        raise DataError(f"the recipe is for {recipe.task}, {manifest.name} for {manifest.task}")
    dataset = load_dataset(recipe, None, progress)
    if dataset.labels != manifest.labels:
        raise DataError(
            f"the recipe's data has the classes {', '.join(dataset.labels)}, "
            f"{manifest.name} knows {', '.join(manifest.labels)}"
        )
    return recipe, dataset.val


def examine(
    model: tuple[Manifest, Variant, bytes],
    recipe: Recipe,
    samples: Sequence[Picture] | Sequence[Recording] | Sequence[Clip],
    threads: int,
    progress: Progress,
) -> Examination:
    """Run a model over samples and measure it.

    Args:
        model: As `edgenn.runtime.files.find` gives it.
        recipe: What the samples were read with.
        samples: With the model's class ids.
        threads: Worker threads of the engine; 0 lets it choose.
        progress: Told of every sample.

    Raises:
        DataError: There is nothing to measure on.
    """
    manifest, variant, data = model
    ranking = manifest.model_copy(update={"decode": whole_ranking(manifest.decode)})
    runner = Model(ranking, variant, data, threads=threads)
    feed = Feed(samples, recipe, manifest.input, train=False, keep=False)
    tick = progress(f"run {variant.file}", len(feed))
    predictions: list[Prediction | Steps] = []
    times: list[float] = []

    def predict(i: int) -> Prediction | Steps:
        predictions.append(look(runner, feed.raw(i), times))
        tick()
        return predictions[-1]

    metrics = evaluate(manifest.task, predict, feed, manifest.labels, blank_of(manifest))
    lines = {}
    if manifest.task == "detect":
        found = matching.curves(_detections(predictions), [feed.truth(i) for i in range(len(feed))])
        lines = {manifest.labels[c]: line for c, line in found.items()}
    p50, p95 = np.percentile(times, (50, 95)).tolist()
    return Examination(manifest, variant, metrics, predictions, lines, feed, (p50, p95))


def with_events(
    exam: Examination,
    model: tuple[Manifest, Variant, bytes],
    recordings: Sequence[Recording],
    threads: int,
    progress: Progress,
) -> Examination:
    """The same with what the model finds in whole recordings, as a device runs over them.

    Args:
        exam: Of the same model.
        model: As `edgenn.runtime.files.find` gives it.
        recordings: As `edgenn.export.streams.recordings_of` gives them.
        threads: Worker threads of the engine; 0 lets it choose.
        progress: Told of every recording.
    """
    heard = streams.listen(Model(*model, threads=threads), recordings, progress)
    return replace(exam, streams=heard, events=measure(heard))


def write(exam: Examination, folder: Path) -> list[Path]:
    """Write eval.json and pictures; returns their paths.

    confusion.png, and timeline.png where events were measured; for detectors
    pr.png and worst.png: the pictures with the most boxes that are missed or
    wrong at the suggested thresholds.
    """
    written = [folder / "eval.json"]
    write_text(written[0], json.dumps(numbers(exam), indent=1) + "\n")
    if exam.metrics.confusion is not None:
        written.append(folder / "confusion.png")
        pictures.confusion(exam.metrics.confusion, exam.manifest.labels, written[-1])
        if exam.streams:
            written.append(folder / "timeline.png")
            timeline(exam.streams, written[-1])
        return written
    written += [folder / "pr.png", folder / "worst.png"]
    pictures.precision_recall(exam.curves, written[1])
    conf = exam.suggested_conf()
    shown = [sure(f, conf) for f in _detections(exam.predictions)]
    truths = [exam.feed.truth(i) for i in range(len(exam.feed))]
    order = sorted(range(len(shown)), key=lambda i: (-mistakes(shown[i], *truths[i]), i))
    tiles = [(np.asarray(exam.feed.raw(i), np.uint8), shown[i], *truths[i]) for i in order[:WORST]]
    pictures.detections(tiles, written[2])
    return written


def numbers(exam: Examination) -> dict[str, Any]:
    """All figures, as eval.json has them."""
    metrics = exam.metrics
    each: dict[str, dict[str, float]] = {
        name: {metrics.name: value} for name, value in metrics.per_class.items()
    }
    for name, line in exam.curves.items():
        conf, f1 = line.best()
        each[name] |= {"best_f1": f1, "suggested_conf": conf}
    events = {} if exam.events is None else {"events": exam.events.flat()}
    return {
        "model": exam.manifest.name,
        "file": exam.variant.file,
        "samples": metrics.samples,
        "metric": metrics.name,
        metrics.name: metrics.main,
        **metrics.extra,
        "latency_ms": dict(zip(("p50", "p95"), exam.latency_ms, strict=True)),
        **events,
        "classes": each,
    }


def sure(found: Detections, conf: dict[str, float]) -> Detections:
    """Detections at or above the threshold of their class; 1 where it has none."""
    least = np.array([conf.get(name, 1.0) for name in found.labels], np.float32)
    kept = found.scores >= least[found.class_ids]
    return Detections(found.boxes[kept], found.scores[kept], found.class_ids[kept], found.labels)


def mistakes(found: Detections, boxes: Floats, class_ids: NDArray[np.int64]) -> int:
    """Boxes that are missed, and boxes that are wrong."""
    right = int(matching.match(found, boxes, class_ids).sum())
    return len(found) + len(boxes) - 2 * right


def _detections(predictions: Sequence[Prediction | Steps]) -> list[Detections]:
    return [p for p in predictions if isinstance(p, Detections)]
