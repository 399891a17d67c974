"""What each input of a foreign file is: the picture or readings, a constant, or not yet known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NoReturn

from edgenn.bundle.manifest import MAX_STATE, Constant
from edgenn.errors import ModelError, UsageError
from edgenn.ops.preprocess import MAX_SIDE, Layout
from edgenn.runtime._shapes import holding
from edgenn.runtime.foreign._file import Opened
from edgenn.runtime.foreign._layouts import shown
from edgenn.runtime.foreign._memory import partner
from edgenn.runtime.foreign._metadata import Said
from edgenn.runtime.foreign._readings import Readings, find_readings, refuse_batch
from edgenn.runtime.foreign._wishes import Wishes

# Height and width of the picture, in the order that each family's export asks for.
_SIZES = {"orig_target_sizes": "wh", "orig_size": "wh", "target_sizes": "hw", "im_shape": "hw"}
# Which pixels are no padding, for each place of a map that is brought to the size of the net's own.
_MASK, _MASK_SIDE = "pixel_mask", 64
_CONSTANTS = {*_SIZES, "scale_factor", _MASK}
# Inputs of nets for what no source gives, by their usual names.
_OTHERS = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), "text") | dict.fromkeys(
    ("sr", "waveform", "waveform_binary", "audio", "input_values", "input_features"), "sound"
)
# A grey input whose shorter side is less, and as many times the longer one, may have readings.
_SHORT, _RATIO = 16, 4


@dataclass(frozen=True)
class Picture:
    """The input that takes a picture.

    Attributes:
        name: Of the tensor.
        layout: Its axis order.
        size: Height, width.
        channels: 3, or 1 for grey.
        shape: In the file, none of it free.
        guessed: Whether nothing says the size.
    """

    name: str
    layout: Layout
    size: tuple[int, int]
    channels: int
    shape: tuple[int, ...]
    guessed: bool = False


@dataclass(frozen=True)
class Inputs:
    """Roles of the inputs.

    Attributes:
        main: The one that takes what a source gives.
        constants: By tensor name.
        asked: Shapes of the others, by tensor name: memory, if anything.
        reasons: What was decided and why.
    """

    main: Picture | Readings
    constants: Mapping[str, Constant]
    asked: Mapping[str, tuple[int, ...]]
    reasons: tuple[str, ...]


def sort_inputs(file: Opened, wishes: Wishes, said: Said) -> Inputs:
    """Tell the inputs apart.

    Raises:
        ModelError: Neither a picture nor readings.
        UsageError: A flag contradicts the file, or is missing.
    """
    shapes = file.engine.inputs
    known = {n: s for n, s in shapes.items() if n not in wishes.state and n not in _CONSTANTS}
    main: Picture | Readings
    if wishes.of_readings:
        main, reasons = find_readings(file, known, wishes)
    else:
        main, reasons = _find_picture(file, known, wishes, said)
    constants: dict[str, Constant] = {}
    asked: dict[str, tuple[int, ...]] = {}
    for name, free in shapes.items():
        whole = tuple(max(n, 1) for n in free)
        if name in _CONSTANTS and isinstance(main, Picture):
            constants[name] = _constant(file, name, free, main.size)
            values = "1" if name == _MASK else constants[name].values
            reasons.append(f"input {name!r}: always {values}, from its name")
        elif prod(whole) > MAX_STATE:
            raise ModelError(f"{file.path}: its input {name!r} {free} is too large to be real")
        elif name != main.name:
            asked[name] = whole
    return Inputs(main, constants, asked, tuple(reasons))


def _constant(file: Opened, name: str, free: tuple[int, ...], size: tuple[int, int]) -> Constant:
    if name == _MASK:
        return _mask(file, free)
    shape = tuple(max(n, 1) for n in free)
    if prod(shape) != 2:
        raise ModelError(f"{file.path}: its input {name!r} is {shape}, not (1, 2)")
    values = (1.0, 1.0) if name == "scale_factor" else (float(size[0]), float(size[1]))
    return Constant(shape=shape, values=values[::-1] if _SIZES.get(name) == "wh" else values)


def _mask(file: Opened, free: tuple[int, ...]) -> Constant:
    shape = (1, *(n if n > 0 else _MASK_SIDE for n in free[1:]))
    if len(shape) != 3 or prod(shape) > _MASK_SIDE**2:
        raise ModelError(
            f"{file.path}: its input {_MASK!r} {free} is too large; export it with free sides, or "
            f"with (1, {_MASK_SIDE}, {_MASK_SIDE})"
        )
    return Constant(shape=shape, values=(1.0,) * prod(shape))


def _find_picture(
    file: Opened, known: Mapping[str, tuple[int, ...]], wishes: Wishes, said: Said
) -> tuple[Picture, list[str]]:
    _refuse_others(file, known)
    found: dict[str, Layout] = {}
    for channels in (1,) if wishes.color == "gray" else (3, 1):
        found = {n: lay for n, s in known.items() if (lay := _layout(s, channels))}
        if found:
            break
    if not found and wishes.color == "gray":
        # Without an axis of 1 nothing but the flag tells it from readings.
        found = {n: "nchw" for n, s in known.items() if _is_flat(s)}
    if len(found) > 1:
        # Memory may look like a picture, but has an output of its name.
        found = {n: lay for n, lay in found.items() if partner(n, file.engine.outputs) is None}
    if len(found) != 1:
        _refuse(file, known, wishes)
    ((name, layout),) = found.items()
    if channels == 1 and wishes.color not in (None, "gray"):
        raise UsageError(
            f"--input-order {wishes.color} contradicts {file.path}, whose pictures are grey: "
            f"{name!r} {known[name]}"
        )
    shape = known[name]
    given = shape[-2:] if layout == "nchw" else shape[1:3]
    if channels == 1 and wishes.color is None and _is_narrow(given):
        raise _ask(file, [name])
    size, why = _size(file, (given[0], given[1]), wishes.size, said)
    planar = (1, channels, *size)
    taken = holding(shape, planar if layout == "nchw" else (1, *size, channels))
    assert taken is not None
    kind = "picture" if channels == 3 else "grey picture"
    reasons = [f"input {name!r} {shape}: {layout} {kind} of {size[0]} x {size[1]}", *why]
    guessed = -1 in given and not wishes.size and said.size is None
    return Picture(name, layout, size, channels, taken, guessed), reasons


def _refuse_others(file: Opened, known: Mapping[str, tuple[int, ...]]) -> None:
    if kinds := [_OTHERS[n] for n in known if n in _OTHERS]:
        raise ModelError(
            f"{file.path} takes {shown(file.engine.inputs)}: {kinds[0]} is not read, only pictures "
            "and readings of sensors"
        )


def _refuse(file: Opened, known: Mapping[str, tuple[int, ...]], wishes: Wishes) -> NoReturn:
    """Say why there is no picture."""
    takes = f"{file.path} takes {shown(file.engine.inputs)}"
    if wishes.color == "gray":
        raise UsageError(f"{takes}; --input-order gray is for one picture of one channel")
    refuse_batch(file, {n: s for n, s in known.items() if len(s) == 4 and {1, 3} & {s[1], s[3]}})
    like_readings = [n for n, s in known.items() if len(s) in (2, 3) and s[0] in (-1, 1)]
    alone = [n for n in like_readings if partner(n, file.engine.outputs) is None]
    if like_readings:
        raise _ask(file, alone or like_readings)
    refuse_batch(file, {n: s for n, s in known.items() if len(s) in (2, 3)})
    raise ModelError(
        f"{takes}; a model needs one picture, (1, C, H, W) or (1, H, W, C) of 3 channels or 1, "
        "or readings, --channels"
    )


def _ask(file: Opened, names: Sequence[str]) -> UsageError:
    """That the user has to say what an input takes."""
    return UsageError(
        f"{file.path} takes {shown(file.engine.inputs)}: if {' or '.join(map(repr, names))} has "
        "readings of a sensor, give --channels with a name for each value of a reading, and --rate "
        "in Hz; if it is a grey picture, --input-order gray"
    )


def _is_narrow(sides: Sequence[int]) -> bool:
    return 0 < min(sides) < _SHORT and max(sides) >= _RATIO * min(sides)


def _is_flat(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 and shape[0] in (-1, 1) and 0 not in shape


def _layout(shape: tuple[int, ...], channels: int) -> Layout | None:
    """Axis order of a picture of so many channels, None where it is none."""
    if len(shape) == 3 and channels == shape[0] == 3:
        return "nchw"  # torchvision's detectors have no batch
    if len(shape) != 4 or shape[0] not in (-1, 1) or 0 in shape:
        return None
    if channels == 1 and shape[2] == 1:
        return None
    # Hugging Face leaves the channels free too.
    if (shape[1] == channels != shape[3]) or (shape[1] == -1 and shape[3] not in (1, 3)):
        return "nchw"
    is_last = shape[3] == channels and (channels == 3 or shape[1] != 1)
    return "nhwc" if is_last else None


def _size(
    file: Opened, given: tuple[int, int], wanted: tuple[int, int] | None, said: Said
) -> tuple[tuple[int, int], list[str]]:
    if wanted is not None:
        if any(g not in (-1, w) for g, w in zip(given, wanted, strict=True)):
            raise UsageError(f"--imgsz {wanted} contradicts {file.path}, which takes {given}")
        size, why = wanted, "as asked for"
    elif -1 not in given:
        size, why = given, ""
    elif said.size is not None:
        size, why = said.size, "the file leaves it free, its metadata say imgsz"
    else:
        side = max(*given, 0) if max(given) > 0 else said.side
        size = (given[0] if given[0] > 0 else side, given[1] if given[1] > 0 else side)
        why = "the file leaves it free and says no more; --imgsz H,W sets another"
    if not all(0 < s <= MAX_SIDE for s in size):
        raise ModelError(f"{file.path}: a picture of {size} is out of 1..{MAX_SIDE} pixels")
    return size, [f"size {size[0]} x {size[1]}: {why}"] if why else []
