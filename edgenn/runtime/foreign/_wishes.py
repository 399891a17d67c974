"""What a user may say of a foreign file; nothing of it is needed where the file says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from edgenn.errors import UsageError
from edgenn.ops.decode import Fit

SCALES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "0..1": ((0.0,) * 3, (255.0,) * 3),
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "0..255": ((0.0,) * 3, (1.0,) * 3),
}


@dataclass(frozen=True)
class Wishes:
    """What the user says.

    Attributes:
        layout: Name of the output layout.
        labels: Class names.
        normalize: A name of `SCALES`, or ``mean,mean,mean:std,std,std`` on 0..255.
        color: Channel order of the net.
        size: Height, width where the file leaves them free.
        conf: Confidence threshold, 0..1.
        iou: Overlap threshold, 0..1.
        name: Of the model; the file's where it is empty.
        activation: Of classifiers: what makes scores of their outputs.
        fit: How pictures are brought to size.
    """

    layout: str = ""
    labels: tuple[str, ...] = ()
    normalize: str = ""
    color: Literal["rgb", "bgr"] | None = None
    size: tuple[int, int] | None = None
    conf: float | None = None
    iou: float | None = None
    name: str = ""
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    fit: Fit | None = None

    def with_labels(self, labels: tuple[str, ...]) -> Wishes:
        """The same with these class names."""
        return replace(self, labels=labels)


def scaling(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of ``--normalize``.

    Raises:
        UsageError: Neither a known name nor numbers.
    """
    if text in SCALES:
        return SCALES[text]
    try:
        mean, std = (tuple(map(float, side.split(","))) for side in text.split(":"))
    except ValueError:
        mean, std = (), ()
    if len(mean) not in (1, 3) or len(mean) != len(std):
        raise UsageError(
            f"--normalize must be one of {', '.join(SCALES)}, or mean,mean,mean:std,std,std on "
            f"0..255, not {text!r}"
        )
    return (mean, std) if len(mean) == 3 else (mean * 3, std * 3)
