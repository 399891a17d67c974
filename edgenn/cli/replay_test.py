"""``edgenn replay-test``: does a recording still lead to the same decisions?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli._options import Number, engine_options
from edgenn.cli._quiet import hush_opencv, hushed_stderr
from edgenn.errors import ReplayError, SinkError, UsageError
from edgenn.runtime import replay
from edgenn.runtime.model import Model, load
from edgenn.runtime.paced import Paced
from edgenn.runtime.pipeline import Pipeline, open_for

_SHOWN, _WIDTH = 10, 300


@click.command(short_help="Compare the decisions on a recording.")
@click.argument("recording", metavar="FOLDER")
@click.argument("model")
@click.option(
    "--expect",
    metavar="FILE.jsonl",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="What edgenn run --out wrote, or --update.",
)
@click.option(
    "--tolerance",
    type=Number(min=0),
    default=0.0,
    help="Seconds that events may lie apart.  [0: the same to the bit]",
)
@click.option("--update", is_flag=True, help="Write the file anew instead of comparing.")
@click.option("--realtime", is_flag=True, help="At the pace of the recording.")
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
def command(
    recording: str,
    model: str,
    expect: Path,
    tolerance: float,
    update: bool,
    realtime: bool,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
) -> None:
    """Run MODEL on the recording FOLDER, or a video or sensor file, and compare.

    Events, detections and labels have to be those of --expect; latencies are not
    compared. Exit code 11 where they differ, with the first differences.
    """
    expected = [] if update else replay.read(expect)
    hush_opencv()
    with hushed_stderr():
        loaded = load(model, engine=engine, precision=precision, threads=threads)
    got = _replay(recording, loaded, realtime)
    if update:
        try:
            replay.write(expect, got)
        except OSError as error:
            raise SinkError(f"cannot write {expect}: {error.strerror}") from error
        click.echo(f"{expect}: {_count(got)}")
        return
    differences = replay.compare(expected, got, tolerance)
    if not differences:
        click.echo(f"{recording}: as expected, {_count(got)}")
        return
    for difference in differences[:_SHOWN]:
        click.echo(f"{expect}, line {difference.line}, {difference.what}")
        click.echo(f"  expected {_cut(difference.expected)}")
        click.echo(f"  got      {_cut(difference.got)}")
    if len(differences) > _SHOWN:
        click.echo(f"and {len(differences) - _SHOWN} more")
    events = sum(difference.what == "event" for difference in differences)
    raise ReplayError(
        f"{recording} differs from {expect} in {events} events and "
        f"{len(differences) - events} of {len(expected)} lines; expected {_count(expected)}, "
        f"got {_count(got)}"
    )


def _replay(recording: str, model: Model, realtime: bool) -> list[replay.Line]:
    feed = open_for(model, recording)
    if feed.live:
        feed.close()
        raise UsageError(f"{recording} is live, and never the same twice; give a recording")
    with Pipeline(Paced(feed) if realtime else feed, model) as pipeline:
        return [replay.decision(result) for result in pipeline]


def _count(lines: list[replay.Line]) -> str:
    return f"{len(lines)} lines with {sum(len(line.get('events', [])) for line in lines)} events"


def _cut(text: str) -> str:
    text = text or "nothing"
    return text if len(text) <= _WIDTH else f"{text[:_WIDTH]} ..."
