"""What a command concludes over time: the flags that follow objects and watch lines and zones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import click

from edgenn.cli._options import gathered
from edgenn.runtime._parts import build_stages
from edgenn.runtime.model import Model

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StageFlags:
    """The flags as the user gave them."""

    track: bool
    line: dict[str, Numbers]
    zone: dict[str, Numbers]

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """Stage to parameters, in the order in which they run; lines and zones imply tracks."""
        stages: dict[str, dict[str, Any]] = {}
        if self.track or self.line or self.zone:
            stages["track"] = {}
        if self.line:
            stages["lines"] = {"lines": self.line}
        if self.zone:
            stages["zones"] = {"zones": self.zone}
        return stages

    def event_labels(self, model: Model) -> tuple[str, ...]:
        """What the events of a detector will be called; none for other models.

        Raises:
            ModelError: A stage cannot be made so.
        """
        stages = build_stages(model, self.params)
        labels = [label for stage in stages for label in stage.event_labels]
        return tuple(dict.fromkeys(labels))


def _places(
    ctx: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, Numbers]:
    del ctx
    is_line = param.name == "line"
    found: dict[str, Numbers] = {}
    for value in values:
        name, _, text = value.partition("=")
        try:
            numbers = tuple(float(part) for part in text.split(","))
        except ValueError:
            numbers = ()
        fits = len(numbers) == 4 if is_line else len(numbers) >= 6 and len(numbers) % 2 == 0
        fits = fits and all(map(math.isfinite, numbers))
        if not name or not fits:
            form = "NAME=x1,y1,x2,y2" if is_line else "NAME=x,y,x,y,x,y"
            raise click.BadParameter(f"{value!r} is not {form}")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = numbers
    return found


stage_options = gathered(
    StageFlags,
    "over_time",
    click.option("--track", is_flag=True, help="Detectors: follow objects, and number them."),
    click.option(
        "--line",
        multiple=True,
        metavar="NAME=x1,y1,x2,y2",
        callback=_places,
        help="Count who crosses; pixels, or parts of the picture. May be repeated.",
    ),
    click.option(
        "--zone",
        multiple=True,
        metavar="NAME=x,y,x,y,x,y",
        callback=_places,
        help="Who enters and leaves a polygon. May be repeated.",
    ),
    title="Objects over time",
)
