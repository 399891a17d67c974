"""``edgenn tune``: thresholds for events, found on validation recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from edgenn import plugins
from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli._options import JOIN_HELP, engine_options
from edgenn.data import readers
from edgenn.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgenn.data import Clip, Picture, Recording
    from edgenn.export.tune import Tuned


@click.command(short_help="Find thresholds for the events of a sequence model.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    required=True,
    metavar="PATH|RECIPE",
    help="Labelled recordings, or a recipe whose validation recordings are taken.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(plugins.names(readers)),
    help="Layout of the data at PATH; guessed without it.",
)
@click.option(
    "--false-alarms",
    type=click.FloatRange(min=0),
    default=6.0,
    show_default=True,
    help="Most false alarms per hour.",
)
@click.option(
    "--max-delay",
    type=click.FloatRange(min=0),
    metavar="MS",
    help="Longest median delay after the end of a gesture.  [none]",
)
@click.option("--join", is_flag=True, help=JOIN_HELP)
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
def command(
    bundle: Path,
    data: Path,
    layout: str | None,
    false_alarms: float,
    max_delay: float | None,
    join: bool,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
) -> None:
    """Find thresholds for the events of BUNDLE and write them into it.

    Runs BUNDLE once over validation recordings, then searches the parameters of
    the gestures stage for the highest F1 of events with at most --false-alarms
    an hour and a median delay of at most --max-delay. Recordings that the data
    marks for training are never used. All variants of the bundle share what is
    found.
    """
    if bundle.suffix in (".onnx", ".tflite") or not bundle.exists():
        raise UsageError(
            f"tune writes into a bundle, so it needs the path of one; {bundle} is none"
        )
    try:
        from edgenn.cli._progress import show_progress
        from edgenn.cli._quiet import hushed_stderr
        from edgenn.cli.data import is_recipe
        from edgenn.export.examine import samples_of, samples_of_recipe
        from edgenn.export.streams import scores_of
        from edgenn.export.tune import Limits, refuse_other_models, streams_to_tune, tune
        from edgenn.recipe.load import load_recipe
        from edgenn.runtime.files import find
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "edgenn tune") from error

    model = find(bundle, engine, precision)
    refuse_other_models(model[0])
    if is_recipe(data):
        _, samples = samples_of_recipe(model[0], load_recipe(data), show_progress)
    else:
        _, samples = samples_of(model[0], data, layout, show_progress)
        _refuse_training(data, samples)
    recordings = streams_to_tune(model[0], samples, join=join)
    with hushed_stderr():
        scores = scores_of(model, recordings, threads, show_progress)
    limits = Limits(false_alarms, float("inf") if max_delay is None else max_delay)
    found = tune(model[0], scores, limits, show_progress)
    _echo(found, len(recordings))
    if not limits.keeps(found.after):
        click.echo("nothing stays within the limits; this comes nearest")
    _write(bundle, found)


def _refuse_training(data: Path, samples: Sequence[Picture | Recording | Clip]) -> None:
    if samples and all(sample.split == "train" for sample in samples):
        raise DataError(f"{data} has no validation recordings: it marks all of them for training")


def _write(bundle: Path, found: Tuned) -> None:
    from edgenn.bundle.store import open_bundle, replace_manifest

    if not found.better:
        click.echo(f"nothing better was found; {bundle} is left as it was")
        return
    manifest = open_bundle(bundle).manifest
    replace_manifest(bundle, manifest.model_copy(update={"temporal": found.temporal}))
    click.echo(f"{bundle} now has these parameters: {found.params}")


def _echo(found: Tuned, streams: int) -> None:
    from edgenn.cli._events import echo_events

    click.echo(f"{streams} streams, {found.after.hours:.2f} hours")
    echo_events(found.before, found.after, heads=("before", "after"))
