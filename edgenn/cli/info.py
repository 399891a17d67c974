"""``edgenn info``: what a model is, without running it."""

from __future__ import annotations

import json
from math import prod

import click

from edgenn.bundle.manifest import Manifest
from edgenn.bundle.store import open_bundle
from edgenn.cli._foreign import ForeignFlags, foreign_options
from edgenn.cli._table import echo_table
from edgenn.runtime.files import read_bare, resolve
from edgenn.runtime.foreign import describe, is_foreign

# All of COCO, but not all of ImageNet.
_MOST_LABELS = 100


@click.command(short_help="Say what a bundle or model file holds.")
@click.argument("model")
@foreign_options
@click.option("--json", "as_json", is_flag=True, help="Print the manifest as JSON.")
def command(model: str, foreign: ForeignFlags, as_json: bool) -> None:
    """Print what MODEL, a bundle, a bare model file or a built-in model, says of itself."""
    path = resolve(model)
    if is_foreign(path):
        found = describe(path, foreign.wishes())
        manifest = found.manifest
        if not as_json:
            for reason in found.reasons:
                click.echo(f"inferred    {reason}")
            click.echo()
    elif path.is_file() and path.suffix in (".onnx", ".tflite"):
        manifest = read_bare(path)[0]
    else:
        bundle = open_bundle(path)
        bundle.check()
        manifest = bundle.manifest
    if as_json:
        click.echo(json.dumps(manifest.model_dump(mode="json"), indent=1))
        return
    for key, value in _facts(manifest).items():
        click.echo(f"{key:<12}{value}")
    click.echo()
    rows = []
    for v in manifest.variants:
        measured = "  ".join(f"{k} {x:g}" for k, x in v.metrics.items())
        rows.append([v.file, v.engine, v.precision, f"{v.size:,}", measured])
    echo_table(["file", "engine", "precision", "bytes", "measured at export"], rows)


def _facts(manifest: Manifest) -> dict[str, str]:
    spec = manifest.input
    if spec.kind == "image":
        takes = f"{spec.size[0]} x {spec.size[1]} {spec.color} picture"
        takes += f", {spec.rate:g} a second" if spec.rate else ""
    else:
        takes = (
            f"{spec.length} readings at {spec.rate:g} Hz of {', '.join(spec.channels)}, "
            f"every {spec.stride}"
        )
    steps = ", ".join(step.op for step in spec.steps) or "none"
    params = " ".join(f"{k}={v}" for k, v in manifest.decode.params.items())
    golden = f"{manifest.golden.count} samples" if manifest.golden else "none"
    made = manifest.provenance
    return {
        "name": manifest.name,
        "task": manifest.task,
        "labels": _labels(manifest.labels),
        "input": takes,
        "steps": steps,
        "decode": f"{manifest.decode.name} {params}".strip(),
        "memory": _memory(manifest),
        "events": ", ".join(manifest.temporal) or "none",
        **({"then": ", ".join(m.file for m in manifest.members)} if manifest.chain else {}),
        "golden": golden,
        "data": made.data or "not stated",
        "licence": made.licence or "not stated",
        "made with": f"foreign file, imported by edgenn {made.edgenn}"
        if made.foreign
        else f"edgenn {made.edgenn}, recipe {made.recipe_sha256[:12]}, "
        f"data {made.data_sha256[:12]}, seed {made.seed}",
    }


def _labels(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:_MOST_LABELS])
    more = len(labels) - _MOST_LABELS
    return f"{shown} and {more} more" if more > 0 else shown


def _memory(manifest: Manifest) -> str:
    """What a streaming model carries from step to step."""
    if not manifest.state:
        return "none"
    kilobytes = 4e-3 * sum(prod(state.shape) for state in manifest.state)
    return f"{len(manifest.state)} tensors, {kilobytes:.1f} kB, carried from step to step"
