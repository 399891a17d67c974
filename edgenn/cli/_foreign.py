"""What a user may say of a model file that edgenn did not write."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import Literal, get_args

import click

from edgenn.cli._options import Number, gathered, split_names
from edgenn.errors import UsageError
from edgenn.ops.decode import Fit
from edgenn.ops.preprocess import Color
from edgenn.runtime.foreign import Wishes
from edgenn.runtime.foreign._labels import named


@dataclass(frozen=True)
class ForeignFlags:
    """Values of the options."""

    layout: str | None
    labels: str | None
    normalize: str | None
    input_order: Color | None
    imgsz: str | None
    activation: Literal["softmax", "sigmoid", "none"] | None
    fit: Fit | None
    channels: str | None
    rate: float | None
    stride: int | None
    units: str | None
    window: int | None
    state: tuple[str, ...]

    def wishes(self, conf: float | None = None, iou: float | None = None, name: str = "") -> Wishes:
        """What they say.

        Raises:
            UsageError: A value that makes no sense.
        """
        return Wishes(
            layout=self.layout or "",
            labels=named(self.labels) if self.labels else (),
            normalize=self.normalize or "",
            color=self.input_order,
            size=_size(self.imgsz) if self.imgsz else None,
            conf=conf,
            iou=iou,
            name=name,
            activation=self.activation,
            fit=self.fit,
            channels=tuple(split_names(self.channels or "")),
            rate=self.rate,
            stride=self.stride,
            units=tuple(split_names(self.units or "")),
            length=self.window,
            state=dict(map(_pair, self.state)),
        )

    def given(self) -> bool:
        """Whether the user said anything."""
        return any(astuple(self))


foreign_options = gathered(
    ForeignFlags,
    "foreign",
    click.option("--as", "layout", metavar="LAYOUT", help="Layout of the outputs."),
    click.option(
        "--labels",
        help="Class names: coco, imagenet, or a file with a name a line or of Hugging Face "
        "(config.json).",
    ),
    click.option(
        "--normalize",
        help="How pixels are scaled: imagenet, 0..1, -1..1, 0..255 or mean,mean,mean:std,std,std; "
        "readings: mean,...:std,...",
    ),
    click.option("--input-order", type=click.Choice(["rgb", "bgr", "gray"]), help="Colour order."),
    click.option("--imgsz", metavar="H,W", help="Size where the file leaves it open."),
    click.option(
        "--activation",
        type=click.Choice(["softmax", "sigmoid", "none"]),
        help="Classifiers: what makes scores of the outputs.",
    ),
    click.option(
        "--fit",
        type=click.Choice(get_args(Fit)),
        help="How pictures are brought to size: padded around, padded at the end, stretched or "
        "cut to the middle.",
    ),
    click.option(
        "--channels",
        metavar="NAME,...",
        help="Models of sensor readings: name of each value, in order.",
    ),
    click.option(
        "--rate",
        type=Number(min=0, min_open=True),
        help="Readings per second; frames, of nets that remember pictures.",
    ),
    click.option(
        "--stride",
        type=click.IntRange(min=1),
        help="Readings from window to window.  [half of a window]",
    ),
    click.option("--units", metavar="UNIT,...", help="Of each channel: g, m/s2, deg/s, rad/s."),
    click.option(
        "--window",
        type=click.IntRange(min=1),
        help="Readings per window where the file leaves it open.",
    ),
    click.option(
        "--state",
        multiple=True,
        metavar="IN=OUT",
        help="Memory: the output that is an input's next value. May be repeated.",
    ),
    title="Model files from elsewhere",
)


def _pair(text: str) -> tuple[str, str]:
    name, equals, output = text.partition("=")
    if not (name and equals and output):
        raise UsageError(f"--state takes INPUT=OUTPUT, not {text!r}")
    return name, output


def _size(text: str) -> tuple[int, int]:
    parts = text.replace("x", ",").split(",")
    if len(parts) not in (1, 2) or not all(p.strip().isdecimal() and len(p) < 6 for p in parts):
        raise UsageError(f"--imgsz takes height,width in pixels, not {text!r}")
    return int(parts[0]), int(parts[-1])
