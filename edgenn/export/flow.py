"""The whole of ``edgenn export``: convert, quantise, verify, write the bundle."""

from __future__ import annotations

import hashlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import edgenn
from edgenn import nets, plugins
from edgenn.bundle.manifest import (
    Decode,
    Golden,
    Layout,
    Manifest,
    Precision,
    Provenance,
    Variant,
    WindowInput,
)
from edgenn.bundle.store import with_hashes, write_bundle
from edgenn.data import Dataset, Progress
from edgenn.data.feed import Feed
from edgenn.errors import AccuracyError, UsageError
from edgenn.export import formats, golden, report
from edgenn.export.forms import Form, form
from edgenn.export.gate import Score, Yardstick, score
from edgenn.export.reference import Reference
from edgenn.recipe.load import recipe_hash
from edgenn.runtime.golden import GoldenSample, pack
from edgenn.train.evaluate import Metrics, blank_of, evaluate, whole_ranking
from edgenn.train.run import Run
from edgenn.types import Floats, Prediction, Steps

_VERSIONS = ("torch", "onnx", "onnxruntime", "litert-torch", "ai-edge-quantizer", "numpy")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line may choose.

    Attributes:
        formats: Names of files in ``export/formats``.
        half: Also write float16.
        int8: Also write int8.
        opset: ONNX opset version.
        max_drop: Largest allowed loss of the main metric, absolute.
        keep: Files that go into the bundle if they pass; empty for all.
    """

    formats: Sequence[str] = ("onnx", "tflite")
    half: bool = False
    int8: bool = False
    opset: int = 18
    max_drop: float = 0.01
    keep: Sequence[str] = ()

    def check(self) -> None:
        """Refuse names that do not exist, before hours of work.

        Raises:
            UsageError: An unknown format, or ``keep`` names a file that is not written.
        """
        for name in self.formats:
            plugins.load(formats, name)
        precisions = ["fp32", *["fp16"] * self.half, *["int8"] * self.int8]
        names = [f"model.{p}.{f}" for f in self.formats for p in precisions]
        for name in self.keep:
            if name not in names:
                raise UsageError(f"--keep: {name} is not written{plugins.suggestion(name, names)}")


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What an export gave.

    Attributes:
        out: The bundle.
        reference: Metrics of the trained network.
        scores: One per variant, also those that were kept out.
    """

    out: Path
    reference: Metrics
    scores: list[Score]

    @property
    def failed(self) -> list[Score]:
        """Variants that lost too much."""
        return [s for s in self.scores if not s.passed]

    def raise_if_failed(self) -> None:
        """Say which classes lost, and how much.

        Raises:
            AccuracyError: A variant lost more than was allowed.
        """
        if not self.failed:
            return
        lines = []
        for s in self.failed:
            classes = ", ".join(f"{c} -{loss:.3f}" for c, loss in s.lost.items() if loss > 0)
            lines.append(
                f"{s.variant.file} lost {s.drop:.4f} {s.metrics.name} and was left out"
                + (f" (by class: {classes})" if classes else "")
            )
        all_failed = len(self.failed) == len(self.scores)
        written = "Nothing was written" if all_failed else f"{self.out} holds the other variants"
        raise AccuracyError(
            "; ".join(lines) + f". {written}; allow more with --max-drop, or calibrate on more "
            "samples (export.calibration in the recipe)"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """What every step of one export needs."""

    run: Run
    dataset: Dataset
    form: Form
    manifest: Manifest
    options: Options
    progress: Progress


def export(run: Run, dataset: Dataset, out: Path, options: Options, progress: Progress) -> Outcome:
    """Write a verified bundle.

    Args:
        run: A finished training run.
        dataset: The data it was trained on; the validation split judges, the
            training split calibrates.
        out: Path of the bundle.
        options: Formats and bounds.
        progress: Shows progress.

    Raises:
        ModelError: A format cannot be written.
        BundleError: The bundle cannot be written.
    """
    options.check()
    shape = form(run.net, run.input, run.recipe)
    manifest = describe(run, dataset, shape)
    job = Job(run, dataset, shape, manifest, options, progress)
    feed = Feed(dataset.val, run.recipe, run.input, train=False)
    reference = Reference(run.net, manifest)
    raws = golden.choose(run.recipe, run.input, dataset, feed)
    samples = golden.compute(raws, run.input, reference.outputs)
    samples = golden.telling(samples, run.recipe.export.golden.count, reference.predict)
    metrics = _evaluate(run, manifest, feed, progress)
    yardstick = Yardstick(feed, metrics, samples, options.max_drop)
    examples = shape.examples(reference.prepare(samples[0].raw).copy())
    names = formats.Names(
        (manifest.input.name, *(state.input for state in manifest.state)),
        (*manifest.outputs, *(state.output for state in manifest.state)),
    )

    scores = []
    for name in options.formats:
        kind: formats.Format = plugins.load(formats, name)
        for precision, data in _convert(job, kind, examples, names).items():
            variant = Variant(
                file=f"model.{precision}.{name}",
                engine=kind.ENGINE,
                precision=precision,
                layout=kind.LAYOUT,
                tensors=kind.tensors(data, names),
            )
            alone = manifest.model_copy(update={"variants": (variant,)})
            whole = kind.embed(data, alone.to_json())
            tick = progress(f"verify {variant.file}", len(feed))
            scores.append(score(manifest, variant, whole, yardstick, tick))
    outcome = Outcome(out, metrics, scores)
    _write(job, outcome, samples)
    return outcome


def describe(run: Run, dataset: Dataset, shape: Form) -> Manifest:
    """The manifest, still without variants and golden samples."""
    recipe = run.recipe
    family = plugins.load(nets, recipe.net.family)
    decode = Decode(name=family.DECODER, params={**run.decode_params, **recipe.decode})
    return Manifest(
        name=recipe.name,
        task=recipe.task,
        labels=run.labels,
        input=shape.input,
        outputs=family.OUTPUTS,
        decode=decode,
        state=shape.state,
        temporal=_temporal(shape, run) if recipe.task == "sequence" else {},
        provenance=Provenance(
            edgenn=edgenn.__version__,
            recipe_sha256=recipe_hash(recipe),
            data_sha256=dataset.sha256,
            seed=recipe.seed,
            licence=recipe.licence,
            data=recipe.sources,
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
        ),
    )


def _temporal(shape: Form, run: Run) -> dict[str, dict[str, Any]]:
    """Stages that a sequence model begins with; ``edgenn tune`` finds better numbers."""
    background = shape.input.background if isinstance(shape.input, WindowInput) else -1
    if background < 0:
        return {"smoothing": {}}
    name = run.labels[background]
    if run.recipe.train.ctc:
        return {"ctc": {"blank": name}}
    return {"gestures": {"background": [name]}}


def _evaluate(run: Run, manifest: Manifest, feed: Feed, progress: Progress) -> Metrics:
    ranking = manifest.model_copy(update={"decode": whole_ranking(manifest.decode)})
    predictor = Reference(run.net, ranking)
    tick = progress("evaluate the trained network", len(feed))

    def predict(i: int) -> Prediction | Steps:
        prediction = predictor.predict(feed.raw(i))
        tick()
        return prediction

    return evaluate(manifest.task, predict, feed, manifest.labels, blank_of(manifest))


def _convert(
    job: Job, kind: formats.Format, examples: Sequence[Floats], names: formats.Names
) -> dict[Precision, bytes]:
    """One format in every precision that was asked for."""
    done = job.progress(f"convert for {kind.ENGINE}", 1 + job.options.int8)
    plain = kind.convert(job.form.net, examples, names, job.options.opset)
    files: dict[Precision, bytes] = {"fp32": plain}
    done()
    if job.options.half:
        files["fp16"] = kind.half(plain)
    if job.options.int8:
        calibration = job.run.recipe.export.calibration
        files["int8"] = kind.int8(
            plain,
            _calibration(job, kind.LAYOUT, calibration.samples),
            recurrent=job.manifest.task == "sequence",
            method=calibration.method,
        )
        done()
    return files


def _calibration(job: Job, layout: Layout, count: int) -> Iterator[Floats]:
    """Real training samples, spread over the split, as a file of that layout takes them."""
    feed = Feed(job.dataset.train, job.run.recipe, job.run.input, train=False, keep=False)
    for i in np.linspace(0, len(feed) - 1, min(count, len(feed))).round().astype(int):
        x = feed[int(i)].x[None]
        if x.ndim == 4 and layout == "nhwc":
            x = x.transpose(0, 2, 3, 1)
        yield np.ascontiguousarray(x, np.float32)


def _write(job: Job, outcome: Outcome, samples: list[GoldenSample]) -> None:
    keep = job.options.keep
    kept = [s for s in outcome.scores if s.passed and (not keep or s.variant.file in keep)]
    if not kept:
        return
    packed = pack(samples)
    full = job.manifest.model_copy(
        update={
            "variants": tuple(
                s.variant.model_copy(update={"sha256": _hash(s.data), "size": len(s.data)})
                for s in kept
            ),
            "golden": Golden(sha256=_hash(packed), size=len(packed), count=len(samples)),
        }
    )
    files = {s.variant.file: s.data for s in kept}
    files["golden.npz"] = packed
    files |= report.documents(job.run, full, outcome.reference, outcome.scores, samples)
    write_bundle(with_hashes(full, files), files, outcome.out)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
