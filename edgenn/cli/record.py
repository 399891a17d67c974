"""``edgenn record``: store what a camera and a sensor deliver, to be replayed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import click

from edgenn.cli._feed import SourceFlags, source_options
from edgenn.cli._options import Number, not_empty
from edgenn.cli._quiet import hush_opencv
from edgenn.cli._signals import stop_on_signals
from edgenn.errors import UsageError
from edgenn.runtime.record import QUALITY, Recorded, Recorder, open_part
from edgenn.runtime.sources import Source

_WIPE = "\r\x1b[K"


@click.command(short_help="Record a camera and a sensor.")
@source_options
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    callback=not_empty,
    type=click.Path(file_okay=False),
    help="A new or empty folder.",
)
@click.option("--duration", type=Number(min=0, min_open=True), help="End after so many seconds.")
@click.option("--max-frames", type=click.IntRange(min=1), help="End after so many.")
@click.option(
    "--quality",
    type=click.IntRange(1, 100),
    default=QUALITY,
    show_default=True,
    help="Of the pictures, which are stored as JPEG.",
)
def command(
    where: SourceFlags, out: str, duration: float | None, max_frames: int | None, quality: int
) -> None:
    """Store what --camera or --source, --sensor or both deliver, with the times of capture.

    `edgenn run --source DIR` replays the folder, also one that a crash or a power cut
    left unfinished. Ctrl-C and SIGTERM end it cleanly.
    """
    named = _named(where)
    hush_opencv()
    with contextlib.ExitStack() as stack:
        sources: dict[str, Source] = {}
        channels: tuple[str, ...] = ()
        for part, text in named.items():
            size, fps = (where.size, where.fps) if part == "video" else (None, None)
            source, names = open_part(part, text, size=size, fps=fps, retries=where.retries)
            stack.callback(source.close)
            sources[part] = source
            channels = channels or names
        recorder = Recorder(
            sources,
            Path(out),
            channels=channels,
            duration=duration,
            max_frames=max_frames,
            quality=quality,
        )
        with stop_on_signals(recorder.stop):
            try:
                recorder.run(_show if sys.stderr.isatty() else None)
            finally:
                click.echo(f"{_wipe()}{out}: {_words(recorder.so_far())}", err=True)


def _named(where: SourceFlags) -> dict[str, str]:
    if where.camera is not None and where.source is not None:
        raise UsageError("give one of --camera and --source")
    if where.realtime:
        raise UsageError("--realtime is for the replay, not for the recording")
    named = {"video": where.video, "sensor": where.readings}
    given = {part: text for part, text in named.items() if text is not None}
    if not given:
        raise UsageError("give --camera or --source, --sensor, or both")
    return given


def _wipe() -> str:
    return _WIPE if sys.stderr.isatty() else ""


def _show(now: Recorded) -> None:
    click.echo(f"{_WIPE}recording: {_words(now)}"[:90], err=True, nl=False)


def _words(now: Recorded) -> str:
    counts = {"frames": now.frames, "readings": now.readings}
    said = ", ".join(f"{count} {what}" for what, count in counts.items() if count) or "nothing"
    said += f" in {now.seconds:.1f} s, {sum(now.dropped.values())} dropped"
    return f"{said}, gaps: {now.gaps}" if now.gaps else said
