"""Anchor boxes, as the detectors of other toolkits generate them.

All in net pixels: centre x, centre y, width, height. N runs over the grids in their order,
each row by row, the anchors of a cell one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode._foreign import MAX_ROWS
from edgenn.types import Floats

Positive = Annotated[float, Field(gt=0, le=1e5)]
Side = Annotated[int, Field(gt=0, le=8192)]

_STRICT: dict[str, Any] = {"extra": "forbid"}
# Shapes of the anchors in one grid: width and height of each, in net pixels.
Shapes = list[tuple[float, float]]


@dataclass(frozen=True)
class MultiScale:
    """TensorFlow's ``ssd_anchor_generator``, for SSD on MobileNet.

    Attributes:
        strides: Net pixels per cell of each grid.
        min_scale: Size of the first grid's anchors, in shorter sides of the input.
        max_scale: The same of the last grid.
        ratios: Width by height.
        reduce_lowest: Only three anchors in the first grid.
        interpolated: One more square anchor between the scale of the grid and the next.
    """

    strides: Annotated[tuple[Side, ...], Field(min_length=1)] = (16, 32, 64, 128, 256, 512)
    min_scale: Positive = 0.2
    max_scale: Positive = 0.95
    ratios: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    reduce_lowest: bool = True
    interpolated: bool = True
    kind: Literal["multi-scale"] = "multi-scale"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int, Shapes]]:
        """Rows, columns and shapes of every grid."""
        layers = len(self.strides)
        step = (self.max_scale - self.min_scale) / max(1, layers - 1)
        scales = [self.min_scale + step * i for i in range(layers)] + [1.0]
        found = []
        for i, stride in enumerate(self.strides):
            scale = scales[i]
            if i == 0 and self.reduce_lowest:
                pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
            else:
                pairs = [(scale, ratio) for ratio in self.ratios]
                if self.interpolated:
                    pairs.append((math.sqrt(scale * scales[i + 1]), 1.0))
            shapes = [_shape(s * min(size), ratio) for s, ratio in pairs]
            found.append((-(-size[0] // stride), -(-size[1] // stride), shapes))
        return found

    def middles(self, size: tuple[int, int], grid: int, rows: int, columns: int) -> Floats:
        """(rows * columns, 2) x y; the grid covers the whole input."""
        del grid
        return _lattice(rows, columns, size[0] / rows, size[1] / columns)


@dataclass(frozen=True)
class Listed:
    """SSD as first published, Liu et al. 2016 (https://arxiv.org/abs/1512.02325).

    Attributes:
        cells: Rows, and also columns, of each grid.
        steps: Net pixels per cell of each grid.
        sizes: Side of each grid's square anchor in net pixels, and one more at the end.
        ratios: Of each grid, those beside 1; each also stands for its inverse.
    """

    cells: Annotated[tuple[Side, ...], Field(min_length=1)] = (38, 19, 10, 5, 3, 1)
    steps: Annotated[tuple[Positive, ...], Field(min_length=1)] = (8, 16, 32, 64, 100, 300)
    sizes: tuple[Positive, ...] = (30, 60, 111, 162, 213, 264, 315)
    ratios: tuple[tuple[Positive, ...], ...] = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))
    kind: Literal["listed"] = "listed"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def __post_init__(self) -> None:
        count = len(self.cells)
        if (len(self.steps), len(self.sizes), len(self.ratios)) != (count, count + 1, count):
            raise ModelError(
                f"anchors of {count} grids need {count} steps, {count + 1} sizes and {count} lists "
                "of ratios"
            )

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int, Shapes]]:
        """Rows, columns and shapes of every grid."""
        del size
        found = []
        for i, cells in enumerate(self.cells):
            side = self.sizes[i]
            between = math.sqrt(side * self.sizes[i + 1])
            shapes = [(side, side), (between, between)]
            for ratio in self.ratios[i]:
                shapes += [_shape(side, ratio), _shape(side, 1 / ratio)]
            found.append((cells, cells, shapes))
        return found

    def middles(self, size: tuple[int, int], grid: int, rows: int, columns: int) -> Floats:
        """(rows * columns, 2) x y."""
        del size
        return _lattice(rows, columns, self.steps[grid], self.steps[grid])


@dataclass(frozen=True)
class Octaves:
    """RetinaNet, Lin et al. 2017 (https://arxiv.org/abs/1708.02002), and EfficientDet.

    Attributes:
        strides: Net pixels per cell of each grid.
        scale: Side of a grid's first square anchor, in strides.
        octaves: Scales per grid, 2 ** (k / octaves) apart.
        ratios: Width by height.
        outer: What runs slowest within a cell, the "scales" (EfficientDet) or the "ratios"
            (TensorFlow's models with a feature pyramid).
        uneven: Where the stride does not divide the input, the first centre is at "half" a
            stride or at "zero" (again TensorFlow), or the cells are made smaller until they
            "cover" the input and no more, and the anchors with them (EfficientDet).
    """

    strides: Annotated[tuple[Side, ...], Field(min_length=1)] = (8, 16, 32, 64, 128)
    scale: Positive = 4.0
    octaves: Annotated[int, Field(gt=0, le=16)] = 3
    ratios: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0, 2.0, 0.5)
    outer: Literal["scales", "ratios"] = "scales"
    uneven: Literal["half", "zero", "cover"] = "half"
    kind: Literal["octaves"] = "octaves"
    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT

    def grids(self, size: tuple[int, int]) -> list[tuple[int, int, Shapes]]:
        """Rows, columns and shapes of every grid."""
        found = []
        for stride in self.strides:
            rows, columns = -(-size[0] // stride), -(-size[1] // stride)
            sides = [self.scale * stride * 2 ** (k / self.octaves) for k in range(self.octaves)]
            if self.outer == "scales":
                shapes = [_shape(side, ratio) for side in sides for ratio in self.ratios]
            else:
                shapes = [_shape(side, ratio) for ratio in self.ratios for side in sides]
            if self.uneven == "cover":
                across, down = size[1] / (columns * stride), size[0] / (rows * stride)
                shapes = [(width * across, height * down) for width, height in shapes]
            found.append((rows, columns, shapes))
        return found

    def middles(self, size: tuple[int, int], grid: int, rows: int, columns: int) -> Floats:
        """(rows * columns, 2) x y."""
        stride = self.strides[grid]
        if self.uneven == "cover":
            return _lattice(rows, columns, size[0] / rows, size[1] / columns)
        points = _lattice(rows, columns, stride, stride)
        if self.uneven == "zero":
            for axis, (side, cells) in enumerate(((size[1], columns), (size[0], rows))):
                if side % stride and cells > 1:
                    points[:, axis] -= stride / 2
        return points


Anchors = Annotated[MultiScale | Listed | Octaves, Field(discriminator="kind")]


def count(anchors: MultiScale | Listed | Octaves, size: tuple[int, int]) -> int:
    """How many anchors an input of this height and width has."""
    return sum(rows * columns * len(shapes) for rows, columns, shapes in anchors.grids(size))


def generate(anchors: MultiScale | Listed | Octaves, size: tuple[int, int]) -> Floats:
    """All anchors of an input of this height and width.

    Returns:
        (N, 4) float32: centre x, centre y, width, height in net pixels.

    Raises:
        ModelError: They are too many to be real.
    """
    number = count(anchors, size)
    if number > MAX_ROWS:
        raise ModelError(f"{number} anchors are too many for a detector; see decode.anchors")
    parts = []
    for i, (rows, columns, shapes) in enumerate(anchors.grids(size)):
        middles = np.repeat(anchors.middles(size, i, rows, columns), len(shapes), axis=0)
        sides = np.tile(np.array(shapes, np.float32), (rows * columns, 1))
        parts.append(np.concatenate([middles, sides], 1))
    return np.concatenate(parts).astype(np.float32)


def _shape(side: float, ratio: float) -> tuple[float, float]:
    return side * math.sqrt(ratio), side / math.sqrt(ratio)


def _lattice(rows: int, columns: int, down: float, across: float) -> Floats:
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    points = (np.stack([x, y], -1).reshape(-1, 2) + 0.5) * (across, down)
    return np.asarray(points, np.float32)
