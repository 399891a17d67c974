"""What a command reads: the flags that name a source, and the source that they open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import click

from edgenn.cli._options import gathered
from edgenn.errors import UsageError
from edgenn.runtime.model import Model
from edgenn.runtime.paced import Paced
from edgenn.runtime.pipeline import open_for
from edgenn.runtime.recording import is_recording
from edgenn.runtime.sources import Source


@dataclass(frozen=True, slots=True)
class SourceFlags:
    """The flags as the user gave them; None where he did not."""

    camera: str | None
    source: str | None
    sensor: str | None
    size: tuple[int, int] | None
    fps: float | None
    retries: int | None
    realtime: bool

    @property
    def text(self) -> str:
        """The source as `open_source` takes it.

        Raises:
            UsageError: None or several are named.
        """
        given = [text for text in (self.video, self.readings) if text is not None]
        if self.camera is not None and self.source is not None:
            given = []
        if len(given) != 1:
            raise UsageError("give exactly one of --camera, --source and --sensor")
        return given[0]

    @property
    def video(self) -> str | None:
        """What --camera or --source name, as `open_source` takes it."""
        return self.source if self.camera is None else f"camera:{self.camera}"

    @property
    def readings(self) -> str | None:
        """What --sensor names, as `open_source` takes it."""
        if self.sensor is None or is_recording(Path(self.sensor)):
            return self.sensor
        return f"csv:{self.sensor}"

    def check(self, model: str | None) -> None:
        """Refuse flags that do not make one source, before anything is loaded.

        Args:
            model: As the user named it; None takes the built-in one, which looks at pictures.

        Raises:
            UsageError: None or several sources are named, or readings without a model.
        """
        _ = self.text
        if self.sensor is not None and model is None:
            raise UsageError(
                "--sensor needs a MODEL that takes readings; the built-in one takes pictures"
            )

    def open(self, model: Model) -> Source:
        """Open it for what a model takes.

        Raises:
            SourceError: It is missing or cannot be opened.
            UsageError: It does not deliver what the model takes, or does not know a flag.
        """
        feed = open_for(model, self.text, size=self.size, fps=self.fps, retries=self.retries)
        try:
            self._refuse_others(feed)
        except UsageError:
            feed.close()
            raise
        return Paced(feed) if self.realtime else feed

    def _refuse_others(self, feed: Source) -> None:
        if feed.live:
            if self.realtime:
                raise UsageError("--realtime is for files; cameras and streams are live as it is")
            return
        if self.size is not None or self.fps not in (None, feed.fps):
            raise UsageError("--size is for cameras, --fps for cameras and folders of pictures")
        if self.retries is not None:
            raise UsageError("--retries is for cameras and streams")


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    del ctx, param
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", value.lower())
    if found is None:
        raise click.BadParameter(f"{value!r} is not WIDTHxHEIGHT, such as 640x480")
    return int(found[1]), int(found[2])


source_options = gathered(
    SourceFlags,
    "where",
    click.option("--camera", metavar="N", help="Camera number, or its path in /dev."),
    click.option(
        "--source",
        metavar="FILE|DIR|URL",
        help="Video, picture, folder of them, stream, recording.",
    ),
    click.option("--sensor", metavar="FILE.csv|DIR", help="CSV with a header line, or recording."),
    click.option("--size", metavar="WxH", callback=_size, help="Size to ask the camera for."),
    click.option(
        "--fps",
        type=click.FloatRange(min=0, min_open=True),
        help="Rate to ask the camera for, or of a folder of pictures.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        help="Live sources: give up after so many failures in a row.  [never]",
    ),
    click.option("--realtime", is_flag=True, help="Files: at the pace of their times."),
)
