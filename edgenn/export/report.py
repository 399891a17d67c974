"""The papers that go with a bundle: report.html, card.md and metrics.json."""

from __future__ import annotations

import base64
import json
from typing import Any

import cv2
import jinja2
import numpy as np

from edgenn import plugins
from edgenn.bundle.manifest import ImageInput, Manifest
from edgenn.export.gate import Score
from edgenn.ops import decode as decoders
from edgenn.ops.preprocess import geometry
from edgenn.runtime.draw import draw
from edgenn.runtime.golden import GoldenSample
from edgenn.train.evaluate import Metrics
from edgenn.train.run import Run
from edgenn.types import Detections, Image, Prediction

# Pictures of the run that the report shows, by file name.
_CHARTS = {"confusion.png": "Confusion", "curves.png": "Training"}


def documents(
    run: Run,
    manifest: Manifest,
    reference: Metrics,
    scores: list[Score],
    samples: list[GoldenSample],
) -> dict[str, bytes]:
    """All papers, by the name they have in the bundle.

    Only the golden samples are shown as pictures: they are what the recipe
    says may be passed on.
    """
    kept = {variant.file for variant in manifest.variants}
    facts: dict[str, Any] = {
        "m": manifest,
        "recipe": run.recipe,
        "parameters": sum(p.numel() for p in run.net.parameters()),
        "input": _input(manifest),
        "split": _split(run),
        "reference": reference,
        "metric": reference.name,
        "samples": reference.samples,
        "rows": [{**row(s), "kept": s.variant.file in kept} for s in scores],
        "per_class": _per_class(reference, scores),
        "pictures": _pictures(manifest, samples),
        "charts": _charts(run),
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edgenn.export"),
        autoescape=jinja2.select_autoescape(("html.j2",)),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return {
        "report.html": environment.get_template("report.html.j2").render(facts).encode(),
        "card.md": environment.get_template("card.md.j2").render(facts).encode(),
        "metrics.json": _numbers(reference, scores).encode(),
    }


def row(score: Score) -> dict[str, Any]:
    """One line of the verify table, ready to print."""
    name, lost = score.worst
    measured = score.variant.metrics
    size = len(score.data)
    return {
        "file": score.variant.file,
        "short": f"{score.variant.engine} {score.variant.precision}",
        "metric": f"{score.metrics.main:.4f}",
        "drop": f"{score.drop:+.4f}",
        "worst": f"{name} {lost:+.3f}" if name else "",
        "max_abs": ", ".join(f"{k} {v:.2g}" for k, v in score.max_abs.items()),
        "size": f"{size / 1e6:.2f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB",
        "p50": f"{measured['latency_p50_ms']:.2f}",
        "p95": f"{measured['latency_p95_ms']:.2f}",
        "passed": score.passed,
    }


def _numbers(reference: Metrics, scores: list[Score]) -> str:
    document = {
        "metric": reference.name,
        "samples": reference.samples,
        "trained": _metrics(reference),
        "variants": {
            s.variant.file: {
                **_metrics(s.metrics),
                "drop": s.drop,
                "max_abs": s.max_abs,
                "bytes": len(s.data),
                "latency_p50_ms": s.variant.metrics["latency_p50_ms"],
                "latency_p95_ms": s.variant.metrics["latency_p95_ms"],
                "passed": s.passed,
            }
            for s in scores
        },
    }
    return json.dumps(document, indent=1) + "\n"


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {"main": metrics.main, **metrics.extra, "per_class": metrics.per_class}


def _per_class(reference: Metrics, scores: list[Score]) -> list[list[Any]]:
    if len(reference.per_class) < 2:
        return []
    return [
        [name, value, *(s.metrics.per_class.get(name, 0.0) for s in scores)]
        for name, value in reference.per_class.items()
    ]


def _input(manifest: Manifest) -> str:
    spec = manifest.input
    if isinstance(spec, ImageInput):
        picture = f"{spec.size[0]} x {spec.size[1]} {spec.color.upper()} picture"
        return f"{picture}, {spec.rate:g} a second" if spec.rate else picture
    seconds = spec.length / spec.rate
    return (
        f"{spec.length} readings ({seconds:.2f} s at {spec.rate:g} Hz) of "
        f"{', '.join(spec.channels)}"
    )


def _split(run: Run) -> str:
    split = run.recipe.data.split
    if split.by == "given":
        return "as the data set says"
    by = f"by {split.by}" + (
        f", which is `{split.group}` in the file's path" if split.group else ""
    )
    if isinstance(split.val, list):
        return f"{by}; validated on {', '.join(split.val)}, trained on the others"
    return f"{by}; {split.val:.0%} of them to validate on, seed {run.recipe.seed}"


def _charts(run: Run) -> list[dict[str, str]]:
    found = []
    for name, title in _CHARTS.items():
        path = run.path / name
        if path.is_file():
            found.append({"title": title, "data": base64.b64encode(path.read_bytes()).decode()})
    return found


def _pictures(manifest: Manifest, samples: list[GoldenSample]) -> list[dict[str, str]]:
    spec = manifest.input
    if not isinstance(spec, ImageInput):
        return []
    decode: decoders.Decoder = plugins.load(decoders, manifest.decode.name).build(
        manifest.decode.params, manifest.labels, spec.size
    )
    step = spec.steps[0]
    assert step.op != "normalize"
    pictures = []
    for sample in samples:
        raw, outputs = np.asarray(sample.raw, np.uint8), sample.outputs
        if spec.rate:  # how the clip ends
            raw, outputs = raw[-1], {name: rows[-1:] for name, rows in outputs.items()}
        prediction = decode(outputs, geometry(raw.shape, step))
        pictures.append({"data": _jpeg(draw(raw, prediction)), "caption": _caption(prediction)})
    return pictures


def _caption(prediction: Prediction) -> str:
    if isinstance(prediction, Detections):
        return f"{len(prediction)} found"
    return f"{prediction.label} {prediction.score:.2f}"


def _jpeg(image: Image) -> str:
    return base64.b64encode(cv2.imencode(".jpg", image)[1].tobytes()).decode()
