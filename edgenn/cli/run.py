"""``edgenn run``: a model looks at a camera, a file or a sensor recording."""

from __future__ import annotations

import contextlib
import logging
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click

from edgenn import plugins
from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli import _live
from edgenn.cli._options import engine_options
from edgenn.cli._quiet import hush_opencv, hushed_stderr
from edgenn.errors import UsageError
from edgenn.runtime import sinks
from edgenn.runtime.model import Model, load
from edgenn.runtime.pipeline import Pipeline, open_for
from edgenn.runtime.sinks import Sink
from edgenn.runtime.sources import Source

_log = logging.getLogger(__name__)
DEFAULT_MODEL = "person"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    del ctx, param
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", value.lower())
    if found is None:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 640x480")
    return int(found[1]), int(found[2])


@click.command(short_help="Run a model on a camera, video, pictures or sensor file.")
@click.argument("model", required=False)
@click.option("--camera", metavar="N", help="Camera number, or its path in /dev.")
@click.option(
    "--source", metavar="FILE|DIR|URL", help="Video, picture, folder of pictures, stream."
)
@click.option("--sensor", metavar="FILE.csv", help="Sensor recording with a header line.")
@engine_options("Inference library to use.", "Variant to run.  [int8 where the model has it]")
@click.option("--conf", type=float, help="Detectors: lowest score.  [the model's own]")
@click.option("--iou", type=float, help="Detectors: overlap for suppression.  [the model's own]")
@click.option("--out", metavar="FILE.jsonl|-", help="Write one JSON object a line.")
@click.option(
    "--out-max-mb",
    type=click.FloatRange(min=0, min_open=True),
    help="Rotate the file of --out at so many MB, and keep five old ones.",
)
@click.option("--mqtt", metavar="URL", help="Send to mqtt[s]://[user:password@]host[:port]/topic.")
@click.option(
    "--mqtt-buffer", metavar="DIR", help="Where results wait for the broker.  [XDG state folder]"
)
@click.option("--webhook", metavar="URL", help="POST what happens, as JSON.")
@click.option("--save", metavar="VIDEO", help="Write a video with the results drawn in.")
@click.option("--show", is_flag=True, help="Show the results in a window; q ends.")
@click.option("--web", metavar="[HOST:]PORT", help="Serve a page with picture, events, charts.")
@click.option(
    "--web-token",
    envvar="EDGENN_WEB_TOKEN",
    metavar="TEXT",
    help="What the page wants to know, also from EDGENN_WEB_TOKEN.  [none on 127.0.0.1]",
)
@click.option("--max-frames", type=click.IntRange(min=1), help="End after so many.")
@click.option("--size", metavar="WxH", callback=_size, help="Size to ask the camera for.")
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    help="Rate to ask the camera for, or of a folder of pictures.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    help="Live sources: give up after so many failures in a row.  [never]",
)
def command(
    model: str | None,
    camera: str | None,
    source: str | None,
    sensor: str | None,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
    conf: float | None,
    iou: float | None,
    out: str | None,
    out_max_mb: float | None,
    mqtt: str | None,
    mqtt_buffer: str | None,
    webhook: str | None,
    save: str | None,
    show: bool,
    web: str | None,
    web_token: str | None,
    max_frames: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    retries: int | None,
) -> None:
    """Run MODEL, a bundle, a model file or a built-in model (person), until the source ends.

    Ctrl-C and SIGTERM end the run cleanly, with the summary and exit code 0. A
    file that breaks before its end gives exit code 7; a camera or stream that does
    is opened again until it comes back.
    """
    text = _one_source(camera, source, sensor)
    if sensor is not None and model is None:
        raise UsageError(
            f"--sensor needs a MODEL that takes readings; the built-in {DEFAULT_MODEL} does not"
        )
    _belongs("--out-max-mb", out_max_mb, "--out", out)
    _belongs("--mqtt-buffer", mqtt_buffer, "--mqtt", mqtt)
    hush_opencv()
    with hushed_stderr():
        loaded = load(
            model or DEFAULT_MODEL,
            engine=engine,
            precision=precision,
            threads=threads,
            conf=conf,
            iou=iou,
        )
    variant = loaded.variant
    _log.info("%s: %s %s", loaded.manifest.name, variant.engine, variant.precision)
    with contextlib.ExitStack() as stack:
        feed = stack.enter_context(open_for(loaded, text, size=size, fps=fps, retries=retries))
        _refuse_live_flags(feed, size, fps, retries)
        outputs, opened = [], {}
        network = [("mqtt", mqtt), ("webhook", webhook)]
        options: dict[str, dict[str, Any]] = {
            "jsonl": {"max_mb": out_max_mb},
            "mqtt": {"buffer": mqtt_buffer},
        }
        for name, target in _wanted(loaded, feed, out, save, show, network):
            sink = plugins.load(sinks, name).open_sink(target, feed.fps, **options.get(name, {}))
            stack.callback(sink.close)
            outputs.append(sink)
            opened[name] = sink
        if web is not None:
            from edgenn.cli import _web

            page = _web.open_page(web, web_token, model or DEFAULT_MODEL, loaded, feed, opened)
            stack.callback(page.close)
            outputs.append(page)
        outputs += _on_the_terminal(loaded, alone=not outputs, mixed=out == "-")
        pipeline = stack.enter_context(Pipeline(feed, loaded, outputs, max_frames=max_frames))
        with _stop_on_signals(pipeline.stop):
            try:
                pipeline.run()
            finally:
                if pipeline.health.frames:
                    what = "frame" if loaded.manifest.input.kind == "image" else "window"
                    _live.echo_summary(pipeline.health.summary(), what)


def _one_source(camera: str | None, source: str | None, sensor: str | None) -> str:
    named = {"camera:": camera, "": source, "csv:": sensor}
    given = [kind + text for kind, text in named.items() if text is not None]
    if len(given) != 1:
        raise UsageError("give exactly one of --camera, --source and --sensor")
    return given[0]


def _refuse_live_flags(
    feed: Source, size: tuple[int, int] | None, fps: float | None, retries: int | None
) -> None:
    if feed.live:
        return
    if size is not None or fps not in (None, feed.fps):
        raise UsageError("--size is for cameras, --fps for cameras and folders of pictures")
    if retries is not None:
        raise UsageError("--retries is for cameras and streams")


def _on_the_terminal(model: Model, *, alone: bool, mixed: bool) -> list[Sink]:
    """What a person sees: events or changes where there is no other output, and a status."""
    shown: list[Sink] = []
    lines = alone and not model.manifest.temporal
    if alone:
        shown.append(_live.Lines() if lines else _live.Events())
    # A line that is written over would tear what is printed to the same terminal.
    if sys.stderr.isatty() and not lines and not (mixed and sys.stdout.isatty()):
        shown.append(_live.Status())
    return shown


def _belongs(flag: str, value: object, needed: str, there: object) -> None:
    if value is not None and there is None:
        raise UsageError(f"{flag} is of no use without {needed}")


def _wanted(
    model: Model,
    feed: Source,
    out: str | None,
    save: str | None,
    show: bool,
    network: list[tuple[str, str | None]],
) -> list[tuple[str, str]]:
    """Name and target of each sink that was asked for."""
    if (save or show) and model.manifest.input.kind != "image":
        raise UsageError(
            f"--save and --show need pictures; {model.manifest.name} takes sensor readings"
        )
    for target in filter(None, (out, save)):
        if Path(target).exists() and Path(feed.name).exists() and Path(target).samefile(feed.name):
            raise UsageError(f"{target} is the source itself; write to another file")
    title = f"edgenn {model.manifest.name}" if show else None
    wanted = [("jsonl", out), ("video", save), ("window", title), *network]
    return [(name, target) for name, target in wanted if target is not None]


@contextlib.contextmanager
def _stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        stop()
        signal.signal(number, before[number])  # a second one does not wait

    before = {int(n): signal.signal(n, handle) or signal.SIG_DFL for n in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
