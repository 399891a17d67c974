"""What a command reads: the flags that name a source, and the source that they open."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypedDict

import click

from edgenn import plugins
from edgenn.cli._options import Number, gathered, not_empty
from edgenn.errors import UsageError
from edgenn.runtime import sources
from edgenn.runtime.join import open_joined
from edgenn.runtime.model import Model
from edgenn.runtime.paced import Paced
from edgenn.runtime.pipeline import open_for
from edgenn.runtime.sources import Source, choose


class _Wishes(TypedDict):
    size: tuple[int, int] | None
    fps: float | None
    retries: int | None


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
        """What gives pictures, or else the sensor, as `open_source` takes it.

        Raises:
            UsageError: None or several are named.
        """
        text = self.readings if self.video is None else self.video
        if text is None or (self.camera is not None and self.source is not None):
            raise UsageError(
                "give exactly one of --camera, --source and --sensor, or --sensor beside another"
            )
        return text

    @property
    def video(self) -> str | None:
        """What --camera or --source name, as `open_source` takes it."""
        return self.source if self.camera is None else f"camera:{self.camera}"

    @property
    def readings(self) -> str | None:
        """What --sensor names, with its plug-in before it."""
        if self.sensor is None:
            return None
        return ":".join(choose(self.sensor, plugins.names(sources), "window"))

    def check(self, model: str | None) -> None:
        """Refuse flags that do not make one source, before anything is loaded.

        Args:
            model: As the user named it; None takes the built-in one, which looks at pictures.

        Raises:
            UsageError: None or several sources are named, or readings without a model.
        """
        _ = self.text
        if self.sensor is not None and model is None and self.video is None:
            raise UsageError(
                "--sensor needs a MODEL that takes readings; the built-in one takes pictures"
            )

    def open(self, model: Model) -> Source:
        """Open it for what a model takes; with a sensor beside a camera, both, joined.

        Raises:
            SourceError: It is missing or cannot be opened.
            UsageError: It does not deliver what the model takes, or does not know a flag.
        """
        wishes = _Wishes(size=self.size, fps=self.fps, retries=self.retries)
        feed: Source
        if self.video is not None and self.readings is not None:
            feed = open_joined(model, self.video, self.readings, **wishes)
        else:
            feed = open_for(model, self.text, **wishes)
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
    click.option(
        "--camera",
        callback=not_empty,
        metavar="N|NAME",
        help="Camera number, path in /dev, part of its name, or picamera:0, csi://0, libcamera://0.",
    ),
    click.option(
        "--source",
        callback=not_empty,
        metavar="FILE|DIR|URL",
        help="Video, picture, folder of them, stream, recording.",
    ),
    click.option(
        "--sensor",
        callback=not_empty,
        metavar="FILE.csv|URI|-",
        help="Sensor recording, live sensor (see `edgenn sources`) or standard input; also "
        "beside --camera or --source.",
    ),
    click.option("--size", metavar="WxH", callback=_size, help="Size to ask the camera for."),
    click.option(
        "--fps",
        type=Number(min=0, min_open=True),
        help="Rate to ask the camera for, or of a folder of pictures.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(min=0),
        help="Live sources: give up after so many failures in a row.  [never]",
    ),
    click.option("--realtime", is_flag=True, help="Files: at the pace of their times."),
    title="Source",
)
