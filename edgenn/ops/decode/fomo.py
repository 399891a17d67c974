"""FOMO of Edge Impulse: which coarse cells hold the middle of something
(https://docs.edgeimpulse.com/studio/projects/learning-blocks/blocks/object-detection/fomo).

One tensor ``map`` (1, H / 8, W / 8, 1 + C), or with the channels first: shares of the background
and of each class, which sum to 1. Cells of one class that touch, also at a corner, are one thing;
its box is that of the cells, so it tells where something is and not how large, and its score is
that of the best cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import Candidates, Count, Kept, Share, tensor
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

STRIDE = 8


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Cells below this share are dropped, 0..1.
        max_det: At most so many things per frame.
        candidates: At most so many cells are considered, the best ones.
    """

    conf: Share = 0.5
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    grid = _grid(of_pictures(size, "fomo"))

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        shares = _shares(tensor(outputs, "map", "fomo"), (*grid, len(labels) + 1))[:, 1:]
        ids = shares.argmax(1)
        best = shares[np.arange(len(shares)), ids]
        # NaN compares false.
        cells = np.flatnonzero((best >= p.conf) & (best < np.inf))
        cells, ids, best = strongest(cells, ids[cells], best[cells], p.candidates)
        if not len(cells):
            return Detections.empty(labels)
        places = np.stack(np.divmod(cells, grid[1]), 1)
        things = _joined(places, ids)
        corners = [[*places[t].min(0)[::-1], *(places[t].max(0) + 1)[::-1]] for t in things]
        boxes = np.array(corners, np.float32) * STRIDE
        scores = np.array([best[t].max() for t in things], np.float32).clip(0, 1)
        classes = np.array([ids[t[0]] for t in things], np.int64)
        return finish((boxes, scores, classes), Kept(p.max_det), labels, geometry)

    return decode


def _grid(size: tuple[int, int]) -> tuple[int, int]:
    return size[0] // STRIDE, size[1] // STRIDE


def _shares(values: Floats, shape: tuple[int, int, int]) -> Floats:
    """The tensor as (cells, 1 + C).

    Raises:
        ModelError: It has another shape.
    """
    height, width, channels = shape
    if values.shape == (1, height, width, channels):
        return np.asarray(values.reshape(-1, channels))
    if values.shape == (1, channels, height, width):
        return np.asarray(values.reshape(channels, -1).T)
    raise ModelError(
        f"the model gives {values.shape}; the fomo layout needs (1, {height}, {width}, {channels})"
    )


def _joined(places: NDArray[np.int64], ids: NDArray[np.int64]) -> list[list[int]]:
    """Indices of the cells of each thing.

    Args:
        places: (N, 2) row and column of each cell.
        ids: (N,) classes.
    """
    cells = np.column_stack([places, ids]).tolist()
    left = {(y, x, k): i for i, (y, x, k) in enumerate(cells)}
    things: list[list[int]] = []
    while left:
        start = next(iter(left))
        edge, thing = [start], [left.pop(start)]
        while edge:
            y, x, k = edge.pop()
            for near in [(y + dy, x + dx, k) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    thing.append(left.pop(near))
                    edge.append(near)
        things.append(thing)
    return things


def recognise(file: Foreign) -> Match | None:
    """One output (1, H / 8, W / 8, 1 + C), or with the channels first.

    Never sure: masks may have this shape, see `shows`.
    """
    if len(file.outputs) != 1 or any(side % STRIDE for side in file.size):
        return None
    ((name, shape),) = file.outputs.items()
    grid = _grid(file.size)
    if len(shape) != 4 or shape[0] not in (1, -1) or grid not in (shape[1:3], shape[2:]):
        return None
    channels = shape[3] if shape[1:3] == grid else shape[1]
    if channels < 2:
        return None
    return Match(
        outputs={"map": name},
        classes=channels - 1,
        why=f"output {shape}: background and {channels - 1} classes for each of {grid[0]} x "
        f"{grid[1]} cells, as of Edge Impulse",
        sure=False,
        fit="stretch",
        mean=(0.0,) * 3,
        std=(255.0,) * 3,
        side=96,
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether the channels of every cell are shares of 1."""
    # Half a step of 8 bits each.
    room = 0.002 * (match.classes + 1) + 1e-3
    for sample in samples:
        values = sample["map"]
        last = -1 if values.shape[3] == match.classes + 1 else 1
        if values.min() < 0 or (np.abs(values.sum(last) - 1) > room).any():
            return False
    return True


def shows(match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> bool:
    """That they fit is enough: no other net gives shares for cells of this size."""
    del match, samples, size
    return True
