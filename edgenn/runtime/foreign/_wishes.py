"""What a user says of a foreign model, where the file does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgenn.errors import UsageError
from edgenn.ops.preprocess import Normalize

MAX_SIDE = 4096
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
# Names of usual scalings: mean and standard deviation on 0..255.
SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "0..1": ((0.0,) * 3, (255.0,) * 3),
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "imagenet": IMAGENET,
}


@dataclass(frozen=True)
class Wishes:
    """Each goes before what the file says.

    Attributes:
        layout: Name of a file in `edgenn.ops.decode`.
        labels: Class names, in the order of the net's outputs.
        normalize: A name of `SCALINGS`, or "M,M,M/S,S,S": mean and standard deviation on 0..255.
        color: Channel order that the net takes.
        size: Height, width, for files that leave it open.
        name: Of the model; that of the file where empty.
        params: Parameters of the layout.
    """

    layout: str = ""
    labels: tuple[str, ...] = ()
    normalize: str = ""
    color: Literal["rgb", "bgr"] | None = None
    size: tuple[int, int] | None = None
    name: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size is not None and not all(16 <= side <= MAX_SIDE for side in self.size):
            raise UsageError(f"--imgsz must lie in 16..{MAX_SIDE}, not {self.size}")


def scaling(text: str) -> Normalize:
    """The step of a name of `SCALINGS` or of six numbers.

    Raises:
        UsageError: It is neither.
    """
    if text in SCALINGS:
        return Normalize(*SCALINGS[text])
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
        if len(mean) in (1, 3) and len(mean) == len(std) and min(std) > 0:
            return Normalize(mean * (3 // len(mean)), std * (3 // len(std)))
    except ValueError:
        pass
    raise UsageError(
        f"--normalize {text!r} is none of {', '.join(SCALINGS)} and no mean/std on 0..255, such "
        "as 127.5,127.5,127.5/128,128,128"
    )
