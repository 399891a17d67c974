"""Ultra-Light-Fast-Generic-Face-Detector (https://github.com/Linzaer), and what else comes
out of the same code: boxes that are decoded already.

- ``scores`` (1, N, 1 + C): probabilities, the background first.
- ``boxes`` (1, N, 4): x1 y1 x2 y2 on 0..1 of the net's input.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import Candidates, Count, Share, rows, scaled, sound, squeezed
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats

# Net pixels per cell, and boxes in each.
_CELLS = ((8, 3), (16, 2), (32, 2), (64, 3))


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: Boxes below this score are dropped, 0..1.
        iou: Overlap above which NMS drops the weaker box, 0..1.
        max_det: At most so many boxes per frame.
        candidates: At most so many boxes go into NMS, the best ones.
    """

    conf: Share = 0.7
    iou: Share = 0.3
    max_det: Count = 100
    candidates: Candidates = 300


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "ultraface")

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        corners = rows(outputs, "boxes", "ultraface", (None, 4))
        scores = rows(outputs, "scores", "ultraface", (len(corners), 1 + len(labels)))[:, 1:]
        good = sound(corners)[:, None] & (scores >= p.conf) & np.isfinite(scores)
        hits, ids = np.nonzero(good)
        hits, ids, best = strongest(hits, ids, scores[hits, ids].clip(0, 1), p.candidates)
        if not len(best):
            return Detections.empty(labels)
        return finish((scaled(corners[hits], size), best, ids), p, labels, geometry)

    return decode


def recognise(file: Foreign) -> Match | None:
    """Two outputs (1, N, 2) and (1, N, 4), N as the net makes it of this size."""
    if len(file.outputs) != 2:
        return None
    shapes = {name: squeezed(shape) for name, shape in file.outputs.items()}
    count = sum(-(-file.size[0] // s) * -(-file.size[1] // s) * n for s, n in _CELLS)
    named = {shape: name for name, shape in shapes.items()}
    if set(named) != {(count, 2), (count, 4)}:
        return None
    return Match(
        outputs={"scores": named[count, 2], "boxes": named[count, 4]},
        classes=1,
        why=f"outputs (1, {count}, 2) and (1, {count}, 4): background and face, and boxes, of an "
        f"UltraFace of {file.size[1]}x{file.size[0]}",
        fit="stretch",
        mean=(127.0,) * 3,
        std=(128.0,) * 3,
        pad=0,
        labels=("face",),
    )
