"""``edgenn eval``: how good a bundle is on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgenn import plugins
from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli._options import JOIN_HELP, engine_options
from edgenn.data import readers
from edgenn.errors import UsageError

if TYPE_CHECKING:
    from edgenn.export.examine import Examination


@click.command(short_help="Measure a bundle on labelled data, as the device runs it.")
@click.argument("bundle")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH|RECIPE",
    help="Labelled data, or a recipe whose validation samples are taken.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(plugins.names(readers)),
    help="Layout of the data at PATH; guessed without it.",
)
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [NAME-eval]")
@click.option("--join", is_flag=True, help=JOIN_HELP)
@click.option(
    "--write-conf",
    is_flag=True,
    help="Write the confidence threshold with the best F1 of each class into the bundle.",
)
def command(
    bundle: str,
    data: Path,
    layout: str | None,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
    out: Path | None,
    join: bool,
    write_conf: bool,
) -> None:
    """Run BUNDLE over labelled data through the device's runtime and measure it.

    Prints the metrics and writes eval.json and pictures: precision and recall
    and the worst pictures of a detector, else the confusion matrix. Where the
    data itself says which samples are for validation, only those are taken.

    A sequence model that knows a background class, or data with several classes
    in one recording, is also measured by events: whole recordings go through
    the model and its temporal stages, as a sensor would.
    """
    try:
        from edgenn.cli._progress import show_progress
        from edgenn.cli._quiet import hushed_stderr
        from edgenn.cli.data import is_recipe
        from edgenn.export.examine import (
            examine,
            samples_of,
            samples_of_recipe,
            with_events,
            write,
        )
        from edgenn.export.streams import is_continuous, recordings_of
        from edgenn.recipe.load import load_recipe
        from edgenn.runtime.files import find
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "edgenn eval") from error

    model = find(bundle, engine, precision)
    if write_conf:
        _check_writable(bundle, model[0].task)
    if is_recipe(data):
        recipe, samples = samples_of_recipe(model[0], load_recipe(data), show_progress)
    else:
        recipe, samples = samples_of(model[0], data, layout, show_progress)
    recordings = []
    if join or model[0].task == "sequence":
        recordings = recordings_of(model[0], samples, join=join)
    with hushed_stderr():
        exam = examine(model, recipe, samples, threads, show_progress)
        if recordings and is_continuous(model[0], recordings):
            exam = with_events(exam, model, recordings, threads, show_progress)
    _echo(exam)
    written = write(exam, out or Path(f"{exam.manifest.name}-eval"))
    click.echo("wrote " + ", ".join(map(str, written)))
    if write_conf:
        _write_conf(bundle, exam)


def _check_writable(bundle: str, task: str) -> None:
    if task != "detect":
        raise UsageError(f"--write-conf is for detectors; {bundle} is a {task} model")
    if not (Path(bundle).is_dir() or Path(bundle).suffix == ".edgenn"):
        raise UsageError(f"--write-conf needs the path of a bundle; {bundle} is none")


def _write_conf(bundle: str, exam: Examination) -> None:
    from edgenn.bundle.store import open_bundle, replace_manifest

    manifest = open_bundle(Path(bundle)).manifest
    params = {**manifest.decode.params, "class_conf": exam.suggested_conf()}
    decode = manifest.decode.model_copy(update={"params": params})
    replace_manifest(Path(bundle), manifest.model_copy(update={"decode": decode}))
    click.echo(f"{bundle} now has these thresholds: {params['class_conf']}")


def _echo(exam: Examination) -> None:
    from edgenn.cli._events import echo_events
    from edgenn.cli._table import echo_table

    metrics = exam.metrics
    click.echo(f"{exam.manifest.name}, {exam.variant.file}, {metrics.samples} samples")
    rows = [[metrics.name, f"{metrics.main:.4f}"]]
    rows += [[name, f"{value:.4f}"] for name, value in metrics.extra.items()]
    rows.append(["inference p50/p95 ms", "/".join(f"{ms:.2f}" for ms in exam.latency_ms)])
    echo_table(["metric", "value"], rows)
    click.echo()
    if exam.events is not None:
        click.echo(f"events in {len(exam.streams)} streams, {exam.events.hours:.2f} hours")
        echo_events(exam.events)
        click.echo()
    head, cells = ["class", metrics.name], []
    if exam.curves:
        head += ["best F1", "at conf"]
    elif exam.events is not None:
        head += ["event F1", "true", "found", "right"]
    for name, value in metrics.per_class.items():
        row = [name, f"{value:.4f}"]
        if name in exam.curves:
            conf, f1 = exam.curves[name].best()
            row += [f"{f1:.4f}", f"{conf:.3f}"]
        elif exam.events is not None:
            own = exam.events.per_class.get(name)
            shown = [f"{own.f1:.4f}", str(own.true), str(own.found), str(own.right)] if own else []
            row += shown or [""] * 4
        cells.append(row)
    echo_table(head, cells)
