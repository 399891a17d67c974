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
from edgenn.cli._foreign import ForeignFlags, foreign_options
from edgenn.cli._loop import LoopFlags, loop_options
from edgenn.cli._options import (
    ProviderFlags,
    Sections,
    engine_options,
    not_empty,
    provider_options,
)
from edgenn.cli._outputs import OutputFlags, output_options
from edgenn.cli._quiet import calm_opencv, hush_opencv, hushed_stderr
from edgenn.cli._signals import stop_on_signals
from edgenn.cli._stages import StageFlags, stage_options
from edgenn.cli._updates import Origin, UpdateFlags, update_options
from edgenn.errors import UsageError
from edgenn.runtime import systemd
from edgenn.runtime.files import resolve
from edgenn.runtime.foreign import is_foreign, load_foreign
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.sinks import Sink

_log = logging.getLogger(__name__)
DEFAULT_MODEL = "person"


@click.command(cls=Sections, short_help="Run a model on a camera, video, pictures or sensor file.")
@click.argument("model", required=False, callback=not_empty)
@source_options
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
@provider_options
@click.option("--conf", type=float, help="Detectors: lowest score.  [the model's own]")
@click.option("--iou", type=float, help="Detectors: overlap for suppression.  [the model's own]")
@foreign_options
@loop_options
@stage_options
@output_options
@update_options
def command(
    model: str | None,
    where: SourceFlags,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
    place: ProviderFlags,
    conf: float | None,
    iou: float | None,
    foreign: ForeignFlags,
    loop: LoopFlags,
    over_time: StageFlags,
    outputs: OutputFlags,
    updates: UpdateFlags,
) -> None:
    """Run MODEL, a bundle, a model file or a built-in model (person), until the source ends.

    Ctrl-C and SIGTERM end the run cleanly, with the summary and exit code 0. A
    file that breaks before its end gives exit code 7; a camera or stream that does
    is opened again until it comes back.
    """
    where.check(model)
    outputs.check(model, where.source, where.sensor)
    updates.check(loop.fallback)
    hush_opencv()
    calm_opencv()
    with contextlib.ExitStack() as stack:
        with hushed_stderr():
            wishes: dict[str, Any] = {"engine": engine, "threads": threads}
            wishes |= {"conf": conf, "iou": iou, **place.arguments()}
            origin = _foreign(model, foreign, updates, wishes) or updates.load(
                model, DEFAULT_MODEL, loop.fallback, stack, precision=precision, **wishes
            )
            arguments = loop.arguments(**wishes)
        loaded = origin.model
        variant = loaded.variant
        _log.info("%s: %s %s", loaded.manifest.name, variant.engine, variant.precision)
        feed = stack.enter_context(where.open(loaded))
        events = over_time.event_labels(loaded)
        opened = outputs.open(loaded, origin.path, feed, stack, events)
        follows = bool(loaded.manifest.temporal or over_time.params)
        opened += _on_the_terminal(follows, alone=not opened, mixed=outputs.out == "-")
        opened += updates.report(outputs, origin, stack)
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
        stack.enter_context(origin.follow(pipeline))
        with stop_on_signals(pipeline.stop):
            spec, failed = loaded.manifest.input, True
            try:
                pipeline.run()
                failed = False
            finally:
                if pipeline.health.frames or not failed:
                    what = "frame" if spec.kind == "image" else "window"
                    _live.echo_summary(pipeline.health.summary(), what)
            if spec.kind == "window" and not pipeline.health.frames:
                _log.warning("%s never had the %d readings of a window", feed.name, spec.length)


def _foreign(
    name: str | None, flags: ForeignFlags, updates: UpdateFlags, wishes: dict[str, Any]
) -> Origin | None:
    """A model file from elsewhere, where one is named and nothing has to be signed."""
    if name is not None and not updates.require_key and updates.bundle_url is None:
        path = resolve(name)
        if is_foreign(path):
            return Origin(load_foreign(path, flags.wishes(), **wishes), name)
    if flags.given():
        raise UsageError(
            f"{name or 'the model'} says itself what it is: it takes none of the flags for model "
            "files from elsewhere, such as --as, --labels or --normalize"
        )
    return None


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
