"""What a command reads: the flags that name a source, and the source that they open."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

from edgenn.cli._options import gathered
from edgenn.errors import UsageError
from edgenn.runtime.model import Model
from edgenn.runtime.pipeline import open_for
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

    @property
    def text(self) -> str:
        """The source as `open_source` takes it.

        Raises:
            UsageError: None or several are named.
        """
        named = {"camera:": self.camera, "": self.source, "csv:": self.sensor}
        given = [kind + text for kind, text in named.items() if text is not None]
        if len(given) != 1:
            raise UsageError("give exactly one of --camera, --source and --sensor")
        return given[0]

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
        if not feed.live:
            try:
                self._refuse_live(feed)
            except UsageError:
                feed.close()
                raise
        return feed

    def _refuse_live(self, feed: Source) -> None:
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
    click.option(
        "--camera",
        metavar="N|NAME",
        help="Camera number, path in /dev, part of its name, or picamera:0, csi://0, libcamera://0.",
    ),
    click.option(
        "--source", metavar="FILE|DIR|URL", help="Video, picture, folder of pictures, stream."
    ),
    click.option("--sensor", metavar="FILE.csv", help="Sensor recording with a header line."),
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
)
