"""What a user may say of a foreign file; nothing of it is needed where the file says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from edgenn.errors import ModelError, UsageError
from edgenn.ops.decode import Fit
from edgenn.ops.decode._foreign import IMAGENET
from edgenn.ops.preprocess import Color, Normalize

SCALES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "imagenet": IMAGENET,
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
        normalize: A name of `SCALES`, or ``mean,...:std,...`` per channel, of pictures on 0..255.
        color: Channel order of the net.
        size: Height, width where the file leaves them free.
        conf: Confidence threshold, 0..1.
        iou: Overlap threshold, 0..1.
        name: Of the model; the file's where it is empty.
        activation: Of classifiers: what makes scores of their outputs.
        fit: How pictures are brought to size.
        channels: Name of each value of a reading, in order; says that it takes readings.
        rate: Readings per second, Hz; or frames, of nets that remember.
        stride: Readings between the starts of two windows.
        units: Unit of each channel, same order.
        length: Readings per window where the file leaves them free.
        state: Output that is the next value of an input, by the input's name.
    """

    layout: str = ""
    labels: tuple[str, ...] = ()
    normalize: str = ""
    color: Color | None = None
    size: tuple[int, int] | None = None
    conf: float | None = None
    iou: float | None = None
    name: str = ""
    activation: Literal["softmax", "sigmoid", "none"] | None = None
    fit: Fit | None = None
    channels: tuple[str, ...] = ()
    rate: float | None = None
    stride: int | None = None
    units: tuple[str, ...] = ()
    length: int | None = None
    state: Mapping[str, str] = field(default_factory=dict)

    @property
    def of_readings(self) -> tuple[str, ...]:
        """The flags given that make sense for models of readings alone."""
        given = {
            "--channels": self.channels,
            "--stride": self.stride,
            "--units": self.units,
            "--window": self.length,
        }
        return tuple(flag for flag, value in given.items() if value)

    def with_labels(self, labels: tuple[str, ...]) -> Wishes:
        """The same with these class names."""
        return replace(self, labels=labels)


def scaling(text: str, channels: int, *, readings: bool = False) -> Normalize:
    """The step of ``--normalize``.

    Args:
        text: What the user wrote.
        channels: How many there are.
        readings: Whether they are of a sensor, for which no names are known.

    Raises:
        UsageError: Neither a known name nor numbers, or not for so many channels.
    """
    if text in SCALES and not readings:
        mean, std = SCALES[text]
        if channels == 3 or len({*mean}) == 1:
            return Normalize(mean[:channels], std[:channels])
    try:
        mean, std = (tuple(map(float, side.split(","))) for side in text.split(":"))
        if len(mean) in (1, channels):
            return Normalize(spread(mean, channels), spread(std, channels))
    except (ValueError, ModelError) as error:
        if isinstance(error, ModelError):
            raise UsageError(f"--normalize {text}: {error}") from error
    if readings:
        wanted = f"mean,...:std,... with {channels} numbers each, or one"
    else:
        wanted = f"one of {scales(channels)} on 0..255"
    raise UsageError(f"--normalize must be {wanted}, not {text!r}")


def scales(channels: int) -> str:
    """What ``--normalize`` may be for pictures of so many channels."""
    names = [n for n, (mean, _) in SCALES.items() if channels == 3 or len({*mean}) == 1]
    numbers = "mean,mean,mean:std,std,std" if channels == 3 else "mean:std"
    return f"{', '.join(names)} or {numbers}"


def formula(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """A scaling for the user to read; one number for all channels where they have the same."""
    less, by = (
        f"{v[0]:g}" if len({*v}) == 1 else f"({', '.join(f'{n:g}' for n in v)})"
        for v in (mean, std)
    )
    return f"(x - {less}) / {by}"


def spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    """One number for each channel, where there is one for all of them."""
    return values * channels if len(values) == 1 else values
