"""What the layouts of other toolkits share: careful reading of tensors and of shapes.

Files that edgenn did not write may hold anything, so every tensor is checked before
its values are used, and what is not finite is dropped.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.types import Floats

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(gt=0)]
Candidates = Annotated[int, Field(gt=0, le=3000)]
# Net pixels per cell of each grid.
Strides = Annotated[
    tuple[Annotated[int, Field(gt=0, le=1024)], ...], Field(min_length=1, max_length=16)
]
# Number of key points, and numbers of each.
Keypoints = tuple[Annotated[int, Field(ge=0, le=1000)], Annotated[int, Field(ge=2, le=3)]]

# More rows than any detector has; a file that claims more is damaged.
MAX_ROWS = 1_000_000
# Net pixels beyond which a coordinate is no place in a picture; keeps areas finite.
MAX_PIXELS = 1e6
# No box of a file that gives 0..1 has a coordinate above this.
UNIT = 2.0
_MAX_METADATA = 200
# Dequantised numbers may lie a step beside 0 and 1.
_SLACK = 0.05
# Mean and deviation of red, green and blue.
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


@dataclass(frozen=True)
class Kept:
    """Suppression that drops nothing, for nets whose boxes overlap no more."""

    max_det: int
    iou: float = 1.0


def tensor(outputs: Mapping[str, Floats], name: str, layout: str) -> Floats:
    """The output of this name.

    Raises:
        ModelError: There is none.
    """
    try:
        return outputs[name]
    except KeyError:
        raise ModelError(
            f"the {layout} layout needs an output {name!r}; the model has {sorted(outputs)}"
        ) from None


def rows(
    outputs: Mapping[str, Floats], name: str, layout: str, shape: tuple[int | None, ...]
) -> Floats:
    """The output of this name as rows, without the batch axis and axes of 1 between.

    Args:
        outputs: All of the model.
        name: Which one.
        layout: Of whom the message speaks.
        shape: What it must have; None allows any number.

    Raises:
        ModelError: There is none, or it has another shape.
    """
    values = tensor(outputs, name, layout)
    plain = tuple(n for i, n in enumerate(values.shape) if i >= values.ndim - 1 or n != 1)
    if len(shape) == 2 and len(plain) == 1:
        plain = (1, *plain)
    fits = len(plain) == len(shape) and all(
        want in (None, got) for got, want in zip(plain, shape, strict=True)
    )
    if not fits or values.size == 0 or plain[0] > MAX_ROWS:
        wanted = ", ".join("N" if n is None else str(n) for n in shape)
        raise ModelError(
            f"the model gives {name} {values.shape}; the {layout} layout needs (1, {wanted})"
        )
    return values.reshape(plain)


def grids(
    outputs: Mapping[str, Floats],
    name: str,
    layout: str,
    counts: Mapping[int, int],
    width: int | None,
) -> Floats:
    """The outputs ``name_stride`` of all grids, one below the other.

    Args:
        outputs: All of the model.
        name: Which ones.
        layout: Of whom the message speaks.
        counts: Rows of the grid of each stride, in their order.
        width: Columns that they must have; None allows any number.

    Raises:
        ModelError: One is missing, or has another shape.
    """
    parts = [rows(outputs, f"{name}_{s}", layout, (n, width)) for s, n in counts.items()]
    if len({part.shape[1] for part in parts}) > 1:
        raise ModelError(f"the model gives {name} of another width for each stride")
    return np.concatenate(parts)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), float32; NaN where a value is not finite.

    Values are clipped to +-80 first, so that nothing overflows; the result is the same.
    """
    plain = 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
    return np.where(np.isfinite(logits), plain, np.nan).astype(np.float32)


def softmax(logits: Floats) -> Floats:
    """Over the last axis, float32; rows with values that are not finite become NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def sound(*parts: Floats) -> NDArray[np.bool_]:
    """(N,) which rows are finite, and small enough for a picture, in all of the arrays."""
    good = np.ones(len(parts[0]), bool)
    for part in parts:
        # NaN compares false.
        good &= (np.abs(part) <= MAX_PIXELS).all(axis=tuple(range(1, part.ndim)))
    return good


def from_middle(values: Floats) -> Floats:
    """(N, 4) x1 y1 x2 y2 of centre x, centre y, width, height."""
    half = np.abs(values[:, 2:4]) / 2
    return np.concatenate([values[:, :2] - half, values[:, :2] + half], 1)


def scaled(boxes: Floats, size: tuple[int, int]) -> Floats:
    """Boxes x1 y1 x2 y2 on 0..1 in net pixels; ``size`` is height, width."""
    return np.asarray(boxes * np.array([size[1], size[0]] * 2, np.float32), np.float32)


def squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A tensor's shape without the batch, and without axes of 1 before the last."""
    inner = shape[1:] if len(shape) > 1 else shape
    return tuple(n for i, n in enumerate(inner) if i == len(inner) - 1 or n != 1)


def by_stride(
    file: Foreign, counts: Mapping[int, int], widths: Mapping[str, int]
) -> dict[str, str]:
    """Outputs of the grids, each kind by itself, told by their rows and columns alone.

    Args:
        file: Its outputs, (1, N, width) or (N, width) each.
        counts: Rows of the grid of each stride.
        widths: Columns of each kind; of two that are as wide, the file has the first one first.

    Returns:
        Names in the file by ``kind_stride``; empty where one is missing or too many.
    """
    tables = {name: (prod(s[:-1]), s[-1]) for name, s in file.outputs.items() if s}
    named: dict[str, str] = {}
    for stride, count in counts.items():
        for width in set(widths.values()):
            kinds = [f"{kind}_{stride}" for kind, each in widths.items() if each == width]
            names = [name for name, table in tables.items() if table == (count, width)]
            if len(names) != len(kinds):
                return {}
            named |= zip(kinds, names, strict=True)
    return named if len(named) == len(file.outputs) else {}


def in_order(names: Iterable[str]) -> tuple[list[str], bool]:
    """Names by the number at their end, where they differ in nothing else.

    Returns:
        ``Identity``, ``Identity_1``, ... in this order (none is 0), and whether numbers told
        it; otherwise the names as they come.
    """
    listed = list(names)
    parts = [re.fullmatch(r"(.*?)(?:[_:](\d+))?", name) for name in listed]
    stems = {part[1] for part in parts if part}
    numbers = [int(part[2] or 0) for part in parts if part]
    if len(stems) != 1 or len(set(numbers)) != len(listed):
        return listed, False
    return [name for _, name in sorted(zip(numbers, listed, strict=True))], True


def kpt_shape(file: Foreign) -> tuple[int, int]:
    """Key points and numbers of each, from the metadata; (0, 3) where it does not say."""
    text = file.metadata.get("kpt_shape", "")
    try:
        count, each = ast.literal_eval(text[:_MAX_METADATA])
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return 0, 3
    if isinstance(count, int) and 0 < count <= 1000 and each in (2, 3):
        return count, each
    return 0, 3


def is_rtdetr(file: Foreign) -> bool | None:
    """Whether the metadata of ultralytics speak of an RT-DETR; None where they say neither."""
    # With NMS in it, it gives the same rows as all others.
    if file.metadata.get("end2end") == "True" or "'nms': True" in file.metadata.get("args", ""):
        return False
    return True if "rtdetr" in file.metadata.get("description", "").lower() else None


def have_class(values: Floats) -> bool:
    """Whether the sixth of all of (..., 6 + E) may be the number of a class."""
    # That corners come in their order is no sign: some nets do not hold to it where nothing is.
    return bool((values[..., 5] % 1 == 0).all())


def stacked(samples: Sequence[Mapping[str, Floats]], name: str) -> Floats:
    """(S, ...) the output of this name of all samples.

    Raises:
        ModelError: Its shape is another one for each picture.
    """
    if len({sample[name].shape for sample in samples}) > 1:
        raise ModelError(f"the model gives {name} of another shape for each picture")
    return np.stack([sample[name] for sample in samples])


def are_shares(values: Floats) -> bool:
    """Whether all of them lie on 0..1, but for what quantising does."""
    return bool(((values >= -_SLACK) & (values <= 1 + _SLACK)).all())


def keypoints(points: Floats, unit: Floats) -> Floats:
    """(N, K, 3): x and y in net pixels, and a score, which is 1 where the file gives none.

    Args:
        points: (N, K, 2 or 3).
        unit: (2,) net pixels of x and of y that 1 means.
    """
    places = points[..., :2] * unit
    given = points.shape[2] == 3
    scores = points[..., 2:].clip(0, 1) if given else np.ones_like(points[..., :1])
    return np.asarray(np.concatenate([places, scores], 2), np.float32)


def is_tensorrt(file: Foreign) -> bool:
    """Whether outputs are named as by NMS for TensorRT or YOLO-NAS, not as by TensorFlow."""
    names = [name.lower() for name in file.outputs]
    return any("num_dets" in name or "nmsed" in name or "num_predictions" in name for name in names)
