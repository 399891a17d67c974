"""``edgenn run``: a model looks at a camera, a file or a sensor recording."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any, Literal

import click

from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli import _live
from edgenn.cli._feed import SourceFlags, source_options
from edgenn.cli._loop import LoopFlags, loop_options
from edgenn.cli._options import engine_options
from edgenn.cli._outputs import OutputFlags, output_options
from edgenn.cli._quiet import calm_opencv, hush_opencv, hushed_stderr
from edgenn.cli._signals import stop_on_signals
from edgenn.cli._stages import StageFlags, stage_options
from edgenn.runtime import systemd
from edgenn.runtime.model import load
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.sinks import Sink

_log = logging.getLogger(__name__)
DEFAULT_MODEL = "person"


@click.command(short_help="Run a model on a camera, video, pictures or sensor file.")
@click.argument("model", required=False)
@source_options
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
@click.option("--conf", type=float, help="Detectors: lowest score.  [the model's own]")
@click.option("--iou", type=float, help="Detectors: overlap for suppression.  [the model's own]")
@loop_options
@stage_options
@output_options
def command(
    model: str | None,
    where: SourceFlags,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
    conf: float | None,
    iou: float | None,
    loop: LoopFlags,
    over_time: StageFlags,
    outputs: OutputFlags,
) -> None:
    """Run MODEL, a bundle, a model file or a built-in model (person), until the source ends.

    Ctrl-C and SIGTERM end the run cleanly, with the summary and exit code 0. A
    file that breaks before its end gives exit code 7; a camera or stream that does
    is opened again until it comes back.
    """
    where.check(model)
    outputs.check()
    hush_opencv()
    calm_opencv()
    with hushed_stderr():
        wishes: dict[str, Any] = {"engine": engine, "threads": threads, "conf": conf, "iou": iou}
        loaded = load(model or DEFAULT_MODEL, precision=precision, **wishes)
        arguments = loop.arguments(**wishes)
    variant = loaded.variant
    _log.info("%s: %s %s", loaded.manifest.name, variant.engine, variant.precision)
    with contextlib.ExitStack() as stack:
        feed = stack.enter_context(where.open(loaded))
        events = over_time.event_labels(loaded)
        opened = outputs.open(loaded, model or DEFAULT_MODEL, feed, stack, events)
        follows = bool(loaded.manifest.temporal or over_time.params)
        opened += _on_the_terminal(follows, alone=not opened, mixed=outputs.out == "-")
        notifier = systemd.Notifier()
        pipeline = stack.enter_context(
            Pipeline(
                feed,
                loaded,
                opened,
                stages=over_time.params,
                on_beat=notifier.beat,
                **arguments,
            )
        )
        stack.callback(notifier.stopping)
        with stop_on_signals(pipeline.stop):
            try:
                pipeline.run()
            finally:
                if pipeline.health.frames:
                    what = "frame" if loaded.manifest.input.kind == "image" else "window"
                    _live.echo_summary(pipeline.health.summary(), what)


def _on_the_terminal(follows: bool, *, alone: bool, mixed: bool) -> list[Sink]:
    """What a person sees: events or changes where there is no other output, and a status."""
    shown: list[Sink] = []
    lines = alone and not follows
    if alone:
        shown.append(_live.Lines() if lines else _live.Events())
    # A line that is written over would tear what is printed to the same terminal.
    if sys.stderr.isatty() and not lines and not (mixed and sys.stdout.isatty()):
        shown.append(_live.Status())
    return shown
