"""Models of sensor readings: which axis is time, and what the manifest says of the window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgenn.bundle.manifest import MAX_WINDOW, WindowInput
from edgenn.errors import ModelError, UsageError
from edgenn.ops.preprocess import Layout, Normalize
from edgenn.runtime._shapes import holding
from edgenn.runtime.foreign._file import Opened
from edgenn.runtime.foreign._layouts import shown
from edgenn.runtime.foreign._memory import partner
from edgenn.runtime.foreign._wishes import Wishes, formula, scaling, spread

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Readings:
    """The input that takes a window of readings.

    Attributes:
        name: Of the tensor.
        layout: "nct" where the readings of each channel lie together.
        length: Readings.
        shape: In the file, none of it free.
    """

    name: str
    layout: Layout
    length: int
    shape: Shape


def find_readings(
    file: Opened, known: Mapping[str, Shape], wishes: Wishes
) -> tuple[Readings, list[str]]:
    """The input that takes readings of as many channels as the user names.

    Raises:
        ModelError: It takes several windows at once.
        UsageError: A flag is missing, or contradicts the file.
    """
    takes = shown(known)
    told = {
        "--channels (the name of each value of a reading)": wishes.channels,
        "--rate (readings a second)": wishes.rate,
    }
    missing = " and ".join(flag for flag, value in told.items() if not value)
    if missing:
        raise UsageError(
            f"{file.path} takes {takes}; {wishes.of_readings[0]} says that these are readings of "
            f"a sensor: give {missing} too"
        )
    if wishes.size or wishes.color or wishes.fit:
        raise UsageError(
            f"--channels says that {file.path} takes readings: --imgsz, --input-order and --fit "
            "are for pictures"
        )
    count = len(wishes.channels)
    found = {n: axes for n, s in known.items() if (axes := _axes(s, count)) is not None}
    # An axis of its own for the channels, and no output of the name, speak against memory.
    plain = {n: axes for n, axes in found.items() if _has_axis(known[n], count)} or found
    found = {n: a for n, a in plain.items() if partner(n, file.engine.outputs) is None} or plain
    if len(found) > 1:
        raise UsageError(
            f"{file.path}: {' and '.join(map(repr, found))} may take the readings: say which are "
            f"memory by --state INPUT=OUTPUT, of {', '.join(file.engine.outputs)}"
        )
    if not found:
        refuse_batch(file, {n: s for n, s in known.items() if count in s[1:]})
        raise UsageError(
            f"--channels names {count}, but no input of {file.path} has so many: it takes {takes}"
        )
    ((name, (layout, free)),) = found.items()
    length, why = _length(file, name, free, wishes, steps=len(known) > 1 or bool(wishes.state))
    shape = holding(known[name], (1, count, length) if layout == "nct" else (1, length, count))
    assert shape is not None
    order = "channel by channel" if layout == "nct" else "moment by moment"
    text = f"input {name!r} {known[name]}: {length} x {count} readings, {order}{why}"
    return Readings(name, layout, length, shape), [text]


def window_input(
    file: Opened, main: Readings, wishes: Wishes, *, remembers: bool
) -> tuple[WindowInput, list[str]]:
    """What the manifest says of the readings, with the reasons.

    Raises:
        UsageError: A flag does not fit the channels or the net.
    """
    count = len(wishes.channels)
    if wishes.units and len(wishes.units) != count:
        raise UsageError(f"--units has {len(wishes.units)} units for {count} channels")
    if len({*wishes.channels}) != count:
        raise UsageError(f"--channels names one twice: {','.join(wishes.channels)}")
    stride = wishes.stride or (main.length if remembers else max(1, main.length // 2))
    if remembers and stride != main.length:
        raise UsageError(
            f"--stride {stride}: {file.path} remembers what was before and takes each reading "
            f"once, {main.length} at a time"
        )
    why = "--stride" if wishes.stride else "each once" if remembers else "half of a window"
    step, reason = _scale(file, main, wishes)
    reasons = [f"a window every {stride} readings: {why}", reason]
    return WindowInput(
        length=main.length,
        stride=stride,
        rate=wishes.rate or 0.0,
        channels=wishes.channels,
        units=wishes.units,
        steps=() if step is None else (step,),
        sample="stream" if remembers else "window",
    ), reasons


def refuse_batch(file: Opened, known: Mapping[str, Shape]) -> None:
    """Refuse inputs of several pictures or windows at once.

    Raises:
        ModelError: Names the first.
    """
    for name, shape in known.items():
        if shape[0] > 1:
            raise ModelError(
                f"{file.path}: its input {name!r} {shape} takes a batch of {shape[0]}; export it "
                "for a batch of 1"
            )


def _axes(shape: Shape, channels: int) -> tuple[Layout, int] | None:
    """Layout and length of a window of so many channels, -1 where it is free; None if none."""
    if not shape or len(shape) > 4 or 0 in shape:
        return None
    # PyTorch's recurrent layers have time first and the batch, of 1, second.
    is_time_first = len(shape) == 3 and shape[1] == 1 and shape[0] > 1
    if shape[0] > 1 and not is_time_first:
        return None
    plain = [n for n in (shape if is_time_first else shape[1:]) if n != 1]
    if channels == 1 and len(plain) < 2:
        return "nchw", plain[0] if plain else 1
    if len(plain) == 1 and plain[0] > 0 and plain[0] % channels == 0:
        return "nchw", plain[0] // channels
    if len(plain) != 2 or channels not in plain:
        return None
    return ("nchw", plain[0]) if plain[1] == channels else ("nct", plain[1])


def _has_axis(shape: Shape, channels: int) -> bool:
    return shape[-1] == 1 if channels == 1 else channels in shape


def _length(file: Opened, name: str, free: int, wishes: Wishes, *, steps: bool) -> tuple[int, str]:
    wanted = wishes.length
    if free > 0 and wanted not in (None, free):
        raise UsageError(f"--window {wanted} contradicts {file.path}, which takes {free} readings")
    if free > 0:
        length, why = free, ""
    elif wanted is not None:
        length, why = wanted, ", as asked for"
    elif steps:
        length, why = 1, "; the file leaves it free, --window N sets another"
    else:
        raise UsageError(
            f"{file.path} leaves open how many readings its input {name!r} takes: give --window N"
        )
    if length > MAX_WINDOW:
        raise ModelError(f"{file.path}: a window of {length} readings is over {MAX_WINDOW}")
    return length, why


def _scale(file: Opened, main: Readings, wishes: Wishes) -> tuple[Normalize | None, str]:
    count = len(wishes.channels)
    if wishes.normalize:
        step = scaling(wishes.normalize, count, readings=True)
        return step, f"normalisation {formula(step.mean, step.std)}: --normalize"
    if (said := file.scaling_of(main.name)) is not None:
        mean, std = (spread(v, count) for v in said)
        if len(mean) == len(std) == count:
            why = "its TFLite metadata"
            return Normalize(mean, std), f"normalisation {formula(mean, std)}: {why}"
    return None, "readings go in as they are: --normalize MEAN,...:STD,... says else"
