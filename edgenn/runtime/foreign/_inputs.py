"""What each input of a foreign file is: the picture, memory of the step before, or a constant."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from edgenn.bundle.manifest import MAX_STATE, Constant
from edgenn.errors import ModelError, UsageError
from edgenn.ops.preprocess import MAX_SIDE, Layout
from edgenn.runtime.foreign._file import Opened
from edgenn.runtime.foreign._metadata import Said

_SIDES = {"in", "out", "input", "output", "prev", "previous", "next", "new", "old", "past",
          "present", "i", "o", "n", "0", "t"}  # fmt: skip
# Height and width of the picture, in the order that each family's export asks for.
_SIZES = {"orig_target_sizes": "wh", "orig_size": "wh", "target_sizes": "hw", "im_shape": "hw"}


@dataclass(frozen=True)
class Inputs:
    """Roles of the inputs.

    Attributes:
        picture: Name of the picture's tensor.
        layout: Its axis order.
        size: Height, width.
        states: Input to output, and shape.
        constants: By tensor name.
        reasons: What was decided and why.
    """

    picture: str
    layout: Layout
    size: tuple[int, int]
    states: Mapping[str, tuple[str, tuple[int, ...]]]
    constants: Mapping[str, Constant]
    reasons: tuple[str, ...]


def sort_inputs(file: Opened, wanted: tuple[int, int] | None, said: Said) -> Inputs:
    """Tell the inputs apart.

    Raises:
        ModelError: No picture of three channels, or an input of unknown meaning.
        UsageError: --imgsz contradicts the file.
    """
    shapes = file.engine.inputs
    pictures = {n: lay for n, s in shapes.items() if (lay := _layout(s)) is not None}
    if len(pictures) != 1:
        raise ModelError(
            f"{file.path}: takes {dict(shapes)}; a model needs one picture of three channels, "
            "(1, 3, H, W) or (1, H, W, 3)"
        )
    ((picture, layout),) = pictures.items()
    shape = shapes[picture]
    given = shape[2:] if layout == "nchw" else shape[1:3]
    size, reasons = _size(file, (given[0], given[1]), wanted, said)
    reasons = [f"input {picture!r} {shape}: {layout} picture of {size[0]} x {size[1]}", *reasons]
    states: dict[str, tuple[str, tuple[int, ...]]] = {}
    constants: dict[str, Constant] = {}
    for name, free in shapes.items():
        if name == picture:
            continue
        whole = tuple(max(n, 1) for n in free)
        output = _partner(name, file.engine.outputs, taken={o for o, _ in states.values()})
        if name in _SIZES or name == "scale_factor":
            values = (1.0, 1.0) if name == "scale_factor" else tuple(map(float, size))
            values = values[::-1] if _SIZES.get(name) == "wh" else values
            if prod(whole) != 2:
                raise ModelError(f"{file.path}: its input {name!r} is {whole}, not (1, 2)")
            constants[name] = Constant(shape=whole, values=values)
            reasons.append(f"input {name!r}: always {values}, from its name")
        elif output is not None and prod(whole) <= MAX_STATE:
            states[name] = (output, whole)
            reasons.append(f"input {name!r} {whole}: memory, next value is output {output!r}")
        else:
            raise ModelError(f"{file.path}: it is not known what its input {name!r} {free} takes")
    return Inputs(picture, layout, size, states, constants, tuple(reasons))


def _layout(shape: tuple[int, ...]) -> Layout | None:
    if len(shape) != 4 or shape[0] not in (-1, 1):
        return None
    if shape[1] == 3 and shape[3] != 3:
        return "nchw"
    return "nhwc" if shape[3] == 3 else None


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
        side = max(*given, 0) if max(given) > 0 else 640 if said.task == "detect" else 224
        size = (given[0] if given[0] > 0 else side, given[1] if given[1] > 0 else side)
        why = "the file leaves it free and says no more; --imgsz H,W sets another"
    if not all(0 < s <= MAX_SIDE for s in size):
        raise ModelError(f"{file.path}: a picture of {size} is out of 1..{MAX_SIDE} pixels")
    return size, [f"size {size[0]} x {size[1]}: {why}"] if why else []


def _partner(name: str, outputs: tuple[str, ...], taken: set[str]) -> str | None:
    """The output whose name differs in "in" and "out", "0" and "n" or the like alone."""
    found = [o for o in outputs if o not in taken and o != name and _stem(o) == _stem(name)]
    return found[0] if len(found) == 1 and _stem(name) else None


def _stem(name: str) -> tuple[str, ...]:
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    text = re.sub(r"^([hc])([0n])$", r"\1 \2", text.strip())
    return tuple(t for t in re.split(r"[^a-z0-9]+", text) if t and t not in _SIDES)
