"""Opens a foreign file and looks at its tensors; nothing is known yet of what they mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from edgenn import plugins
from edgenn.bundle.manifest import MAX_STATE, Constant, EngineName, State
from edgenn.bundle.store import MAX_FILE, refuse_impostor
from edgenn.errors import ModelError, UsageError
from edgenn.ops.preprocess import Layout
from edgenn.runtime import engines
from edgenn.runtime.foreign._external import is_external, merged
from edgenn.runtime.foreign._wishes import MAX_SIDE

MAX_TENSORS = 64
_MAX_OUTPUT = 1 << 26
USUAL_SIDE = 640
# Inputs of detectors that scale their boxes themselves: height and width, or a factor of 1.
_SIZES = ("orig_target_sizes", "im_shape", "image_shape", "ori_shape")
_FACTORS = ("scale_factor",)


@dataclass(frozen=True)
class File:
    """A file that runs.

    Attributes:
        path: Where it lies.
        data: All of it, weights included.
        engine: Name of its engine.
        opened: The engine itself.
        picture: Name of the input for pictures.
        layout: Axis order of that.
        size: Height, width of that.
        size_why: Why so, where the file leaves it open.
        outputs: Shape of every output that is no state, for this size.
        states: Tensors that are handed on from step to step, by the file's names.
        constants: Further inputs, by the file's names.
    """

    path: Path
    data: bytes
    engine: EngineName
    opened: engines.Engine
    picture: str
    layout: Layout
    size: tuple[int, int]
    size_why: str
    outputs: Mapping[str, tuple[int, ...]]
    states: tuple[State, ...]
    constants: tuple[Constant, ...]


def open_file(path: Path, size: tuple[int, int] | None, threads: int) -> File:
    """Open a .onnx or .tflite file, and run it once on zeros to see the shapes of its outputs.

    Args:
        path: The file.
        size: Height, width for files that leave it open.
        threads: Worker threads of the engine; 0 lets it choose.

    Raises:
        ModelError: Missing, damaged, too large, without an input for pictures, or it fails.
        UsageError: The size is fixed in the file, and another one.
    """
    name: EngineName = "onnx" if path.suffix == ".onnx" else "litert"
    data, opened = _read(path, name, threads)
    tensors = len(opened.inputs) + len(opened.outputs)
    if tensors > 2 * MAX_TENSORS or len(opened.inputs) > MAX_TENSORS:
        raise ModelError(f"{path} has {tensors} inputs and outputs; it is refused")
    picture, layout = _picture(path, opened.inputs)
    given = _sides(opened.inputs[picture], layout)
    sides, why = _choose_size(path, given, size, opened.metadata)
    states = _states(path, opened, picture)
    constants = _constants(path, opened, picture, states, sides)
    feeds = {picture: np.zeros(_shape(sides, layout), np.float32)}
    feeds |= {s.input: np.zeros(s.shape, np.float32) for s in states}
    feeds |= {c.input: np.array(c.values, np.float32).reshape(c.shape) for c in constants}
    try:
        found = opened.run(feeds)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    carried = {state.output for state in states}
    shapes = {n: tuple(map(int, v.shape)) for n, v in found.items() if n not in carried}
    if any(prod(shape) > _MAX_OUTPUT for shape in shapes.values()):
        raise ModelError(f"{path} gives outputs of {list(shapes.values())}; it is refused")
    return File(path, data, name, opened, picture, layout, sides, why, shapes, states, constants)


def _read(path: Path, name: EngineName, threads: int) -> tuple[bytes, engines.Engine]:
    try:
        size = path.stat().st_size
        if size > MAX_FILE:
            raise ModelError(
                f"{path} has {size} bytes, over the limit of {MAX_FILE}; it is refused"
            )
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    refuse_impostor(data[:512], str(path))
    plugin = plugins.load(engines, name)
    if name == "litert" and data[4:8] != b"TFL3":
        raise ModelError(f"{path} is no TFLite model: it does not begin as one")
    try:
        if name == "onnx" and is_external(data):
            data = merged(data, path.parent)
        return data, plugin.open_model(data, threads)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _picture(path: Path, inputs: Mapping[str, tuple[int, ...]]) -> tuple[str, Layout]:
    """The input that takes pictures, and the order of its axes."""
    found: list[tuple[str, Layout]] = []
    for name, shape in inputs.items():
        if len(shape) == 4 and shape[0] in (1, -1):
            if shape[1] == 3 and shape[3] != 3:
                found.append((name, "nchw"))
            elif shape[3] == 3:
                found.append((name, "nhwc"))
    if len(found) == 1:
        return found[0]
    if any(len(shape) == 4 and 1 in shape[1:] for shape in inputs.values()) and not found:
        raise ModelError(f"{path} takes {dict(inputs)}: pictures in grey are not known")
    raise ModelError(
        f"{path} takes {dict(inputs)}; one input of (1, 3, height, width) or (1, height, width, 3) "
        "is needed"
    )


def _sides(shape: tuple[int, ...], layout: Layout) -> tuple[int, int]:
    return (shape[2], shape[3]) if layout == "nchw" else (shape[1], shape[2])


def _shape(size: tuple[int, int], layout: Layout) -> tuple[int, ...]:
    return (1, 3, *size) if layout == "nchw" else (1, *size, 3)


def _choose_size(
    path: Path,
    given: tuple[int, int],
    wanted: tuple[int, int] | None,
    metadata: Mapping[str, str],
) -> tuple[tuple[int, int], str]:
    if min(given) > 0:
        if max(given) > MAX_SIDE:
            raise ModelError(f"{path} takes pictures of {given}; it is refused")
        if wanted not in (None, given):
            raise UsageError(f"{path} takes {given[0]}x{given[1]} only; leave --imgsz out")
        return given, ""
    if wanted is not None:
        return wanted, "as --imgsz says"
    said = [int(n) for n in re.findall(r"\d{1,5}", metadata.get("imgsz", "")[:40])]
    if said and all(16 <= side <= MAX_SIDE for side in said[:2]):
        return (said[0], said[1] if len(said) > 1 else said[0]), "as its metadata says"
    return (USUAL_SIDE, USUAL_SIDE), "usual where a file leaves it open; --imgsz sets another"


def _states(path: Path, opened: engines.Engine, picture: str) -> tuple[State, ...]:
    """Inputs that an output of nearly the same name and the same shape continues."""
    found: list[State] = []
    for name, shape in opened.inputs.items():
        if name == picture or name.lower() in (*_SIZES, *_FACTORS):
            continue
        partner = [out for out in opened.outputs if _stem(out) == _stem(name)]
        if len(partner) != 1:
            continue
        fixed = tuple(1 if side < 0 else side for side in shape)
        if prod(fixed) > MAX_STATE or not fixed:
            raise ModelError(f"{path}: the state {name} of shape {shape} is too large to be real")
        found.append(State(input=name, output=partner[0], shape=fixed))
    return tuple(found)


def _stem(name: str) -> str:
    """``h0``, ``hn``, ``h_in``, ``new_h``, ``state_out`` without what tells in from out."""
    plain = name.lower().rpartition("/")[2].split(":")[0]
    parts = [p for p in re.split(r"[_.\-]", plain) if p not in _SIDES]
    return "_".join(re.sub(r"(?<=[a-z])(in|out|0|n|t|1)$", "", p) for p in parts)


_SIDES = ("in", "out", "input", "output", "new", "next", "prev", "previous", "old", "cur", "")


def _constants(
    path: Path,
    opened: engines.Engine,
    picture: str,
    states: tuple[State, ...],
    size: tuple[int, int],
) -> tuple[Constant, ...]:
    """Inputs whose meaning their names tell."""
    found: list[Constant] = []
    for name, shape in opened.inputs.items():
        if name == picture or name in {state.input for state in states}:
            continue
        fixed = tuple(1 if side < 0 else side for side in shape)
        if name.lower() in _SIZES and prod(fixed) == 2:
            values: tuple[float, ...] = size
        elif name.lower() in _FACTORS and prod(fixed) == 2:
            values = (1.0, 1.0)
        else:
            raise ModelError(
                f"{path}: nothing says what its input {name} {shape} is for: no output continues "
                "it, and its name is none that is known"
            )
        found.append(Constant(input=name, shape=fixed, values=values))
    return tuple(found)
