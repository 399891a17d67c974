"""What a user may say of a model file that edgenn did not write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import click

from edgenn.cli._options import gathered
from edgenn.errors import UsageError
from edgenn.ops.decode import Fit
from edgenn.runtime.foreign import Wishes
from edgenn.runtime.foreign._labels import named


@dataclass(frozen=True)
class ForeignFlags:
    """Values of the options."""

    layout: str | None
    labels: str | None
    normalize: str | None
    input_order: Literal["rgb", "bgr"] | None
    imgsz: str | None
    activation: Literal["softmax", "sigmoid", "none"] | None
    fit: Fit | None

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
        )

    def given(self) -> bool:
        """Whether the user said anything."""
        return any(
            (
                self.layout,
                self.labels,
                self.normalize,
                self.input_order,
                self.imgsz,
                self.activation,
                self.fit,
            )
        )


foreign_options = gathered(
    ForeignFlags,
    "foreign",
    click.option("--as", "layout", metavar="LAYOUT", help="Layout of the outputs."),
    click.option("--labels", help="Class names: coco, imagenet or a file with a name a line."),
    click.option(
        "--normalize",
        help="How pixels are scaled: imagenet, 0..1, -1..1, 0..255 or mean,mean,mean:std,std,std.",
    ),
    click.option("--input-order", type=click.Choice(["rgb", "bgr"]), help="Colour order."),
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
    title="Model files from elsewhere",
)


def _size(text: str) -> tuple[int, int]:
    parts = text.replace("x", ",").split(",")
    if len(parts) not in (1, 2) or not all(p.strip().isdecimal() and len(p) < 6 for p in parts):
        raise UsageError(f"--imgsz takes height,width in pixels, not {text!r}")
    return int(parts[0]), int(parts[-1])
