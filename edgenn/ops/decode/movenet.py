"""MoveNet, one person or up to six: https://www.tensorflow.org/hub/tutorials/movenet.

One tensor ``people``; all numbers on 0..1, places on the net's input:

- one person, (1, 1, K, 3): y, x, score of each key point. The box is that of the points
  whose score is at least ``point_conf``, its score the mean of theirs.
- more, (1, M, 3K + 5): K times y, x, score, then y1 x1 y2 x2 and score of the person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import MAX_ROWS, Count, Share, scaled, sound, squeezed, tensor
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        conf: People below this score are dropped, 0..1.
        point_conf: Key points below this score do not make the box of a single person, 0..1.
        iou: Overlap above which the weaker of two people goes, 0..1.
        max_det: At most so many people per frame.
    """

    conf: Share = 0.3
    point_conf: Share = 0.3
    iou: Share = 0.9
    max_det: Count = 100


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder for one input size."""
    p = parse(Params, params)
    size = of_pictures(size, "movenet")

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        values = tensor(outputs, "people", "movenet")
        if values.ndim == 4 and values.shape[:2] == (1, 1) and values.shape[3] == 3:
            points, boxes, scores = _single(values[0, 0], p.point_conf)
        elif (
            values.ndim == 3
            and values.shape[0] == 1
            and values.shape[1] <= MAX_ROWS
            and values.shape[2] > 5
            and values.shape[2] % 3 == 2
        ):
            points = values[0, :, :-5].reshape(values.shape[1], -1, 3)
            boxes, scores = values[0, :, [-4, -5, -2, -3]].T, values[0, :, -1]
        else:
            raise ModelError(
                f"the model gives {values.shape}; the movenet layout needs (1, 1, K, 3), or "
                "(1, M, 3K + 5) for more people"
            )
        if not points.size:
            return Detections.empty(labels)
        good = sound(points, boxes, scores) & (scores >= p.conf)
        hits = np.flatnonzero(good)
        hits, ids, best = strongest(hits, np.zeros_like(hits), scores[hits].clip(0, 1), 3000)
        if not len(best):
            return Detections.empty(labels)
        keypoints = points[hits][:, :, [1, 0, 2]].astype(np.float32)
        keypoints[..., :2] *= (size[1], size[0])
        keypoints[..., 2] = keypoints[..., 2].clip(0, 1)
        return finish((scaled(boxes[hits], size), best, ids), p, labels, geometry, keypoints)

    return decode


def _single(points: Floats, conf: float) -> tuple[Floats, Floats, Floats]:
    """The one person: key points (1, K, 3), box (1, 4) x1 y1 x2 y2 and score (1,)."""
    seen = points[points[:, 2] >= conf]
    if not len(seen):
        return points[None], np.zeros((1, 4), np.float32), np.zeros(1, np.float32)
    (top, left, _), (bottom, right, _) = seen.min(0), seen.max(0)
    score = np.array([seen[:, 2].mean()], np.float32)
    return points[None], np.array([[left, top, right, bottom]], np.float32), score


def recognise(file: Foreign) -> Match | None:
    """One output (1, 1, 17, 3) or (1, M, 56)."""
    if len(file.outputs) != 1:
        return None
    ((name, shape),) = file.outputs.items()
    single = squeezed(shape) == (17, 3) and len(shape) == 4
    # Six people in the published file; a transposed (1, 56, N) is that of other pose nets.
    several = len(shape) == 3 and shape[2] == 56 and (0 < shape[1] <= 20 or shape[1] == -1)
    if not single and not several:
        return None
    what = "17 key points of one person" if single else "17 key points and a box for each person"
    return Match(
        outputs={"people": name},
        classes=1,
        why=f"output {shape}: {what}",
        sure=single or shape[1] == 6,
        fit="letterbox",
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        pad=0,
        labels=("person",),
        side=256,
    )
