"""FastestDet as its test.py exports it (https://github.com/dog-qiuqiu/FastestDet).

One tensor ``map`` (1, 5 + C, H / 16, W / 16), or with the channels last: objectness 0..1; the way
from the cell's top left corner to the middle of the box, in cells after tanh; width and height as a
share of the picture after sigmoid; a probability of each class. The score of a box is
objectness^0.6 * class^0.4 of the best class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import (
    Candidates,
    Count,
    Share,
    are_shares,
    from_middle,
    sigmoid,
    sound,
    tensor,
)
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

STRIDE = 16
# Exponents of objectness and of the class; they sum to 1, so the score stays in 0..1.
_OBJECT, _CLASS = 0.6, 0.4
_COCO = 80


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Boxes below this score are dropped, 0..1; the roots make scores high, so it is too.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    conf: Share = 0.65
    iou: Share = 0.45
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "fastestdet")
    height, width = (side // STRIDE for side in size)
    channels = 5 + len(labels)
    # No class is above 1, so this much objectness is needed at least.
    least = p.conf ** (1 / _OBJECT)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        planes = _planes(tensor(outputs, "map", "fastestdet"), (channels, height, width))
        hopeful = np.flatnonzero((planes[0] >= least) & (planes[0] < np.inf))
        columns = planes[:, hopeful]
        ids = columns[5:].argmax(0)
        best = columns[5:].max(0)
        good = (best >= 0) & sound(columns[:5].T) & (best < np.inf)
        hopeful, columns, ids, best = hopeful[good], columns[:, good], ids[good], best[good]
        scores = columns[0] ** _OBJECT * best**_CLASS
        hits = np.flatnonzero(scores >= p.conf)
        hits, ids, scores = strongest(hits, ids[hits], scores[hits], p.candidates)
        if not len(hits):
            return Detections.empty(labels)
        y, x = np.divmod(hopeful[hits], width)
        cells = np.stack([x, y], 1) + np.tanh(columns[1:3, hits].T)
        sides = sigmoid(columns[3:5, hits].T) * (size[1], size[0])
        boxes = from_middle(np.concatenate([cells * STRIDE, sides], 1).astype(np.float32))
        return finish((boxes, scores.clip(max=1), ids), p, labels, geometry)

    return decode


def _planes(values: Floats, shape: tuple[int, int, int]) -> Floats:
    """The tensor as (5 + C, cells).

    Raises:
        ModelError: It has another shape.
    """
    channels, height, width = shape
    if values.shape == (1, channels, height, width):
        return np.asarray(values.reshape(channels, -1))
    if values.shape == (1, height, width, channels):
        return np.asarray(values.reshape(-1, channels).T)
    raise ModelError(
        f"the model gives {values.shape}; the fastestdet layout needs (1, {channels}, {height}, "
        f"{width})"
    )


def recognise(file: Foreign) -> Match | None:
    """One output (1, 5 + C, H / 16, W / 16), or with the channels last."""
    if len(file.outputs) != 1 or any(side % STRIDE for side in file.size):
        return None
    ((name, shape),) = file.outputs.items()
    grid = tuple(side // STRIDE for side in file.size)
    if len(shape) != 4 or shape[0] not in (1, -1) or min(grid) < 1:
        return None
    if shape[2:] == grid:
        channels = shape[1]
    elif shape[1:3] == grid:
        channels = shape[3]
    else:
        return None
    classes = channels - 5
    if classes < 1:
        return None
    return Match(
        outputs={"map": name},
        classes=classes,
        why=f"output {shape}: 5 + {classes} numbers for each of {grid[0]} x {grid[1]} cells",
        # Other nets have maps of this stride too, such as masks.
        sure=classes == (file.labels or _COCO),
        fit="stretch",
        color="bgr",
        mean=(0.0, 0.0, 0.0),
        std=(255.0, 255.0, 255.0),
    )


def fits(match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether objectness and classes lie on 0..1."""
    for sample in samples:
        planes = sample["map"]
        axis = 1 if planes.shape[1] == 5 + match.classes else 3
        objectness, _, classes = np.split(planes, [1, 5], axis)
        if not are_shares(objectness) or not are_shares(classes):
            return False
    return True
