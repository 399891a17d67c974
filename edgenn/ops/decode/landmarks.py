"""Key points of one thing on a crop around it, as MediaPipe's nets for hands, faces and
poses give them.

- ``points`` (1, K * D), also with axes of 1 between: D values of each point, x and y in net
  pixels first; the third is depth, the fourth and fifth are logits of being visible and
  being in the picture.
- ``more`` (1, L * D), optional: further points, which come after the others.
- ``presence`` (1, 1), optional: whether there is such a thing on the crop at all.
- ``handedness`` (1, 1), optional: 0 for a left, 1 for a right hand.

The prediction is one detection: the box around the points, ``presence`` as its score, and
the points. A score of a point is how visible it is, or where the net does not say, the
score of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import Kept, Share, in_order, sigmoid, sound, tensor
from edgenn.ops.decode._params import of_pictures, parse
from edgenn.ops.decode._select import finish
from edgenn.ops.preprocess import Geometry
from edgenn.types import Detections, Floats


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        values: Numbers per point: 2, 3 with depth, 4 with how visible it is, 5 also with
            whether it is in the picture.
        keep: Only the first so many points; 0 keeps all.
        presence_logit: Whether ``presence`` still needs the sigmoid.
        conf: Below this score there is nothing, 0..1.
    """

    values: Annotated[int, Field(ge=2, le=5)] = 3
    keep: Annotated[int, Field(ge=0)] = 0
    presence_logit: bool = False
    conf: Share = 0.5


@dataclass(frozen=True)
class _Family:
    """A net that is in use."""

    what: str
    labels: tuple[str, ...]
    values: int
    keep: int
    presence_logit: bool
    more: int = 0  # Numbers of the further points.
    has_presence: bool = True
    sure: bool = True
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (255.0,) * 3


# Outputs of one number, in their order; only what has sides has the second.
_FLAGS = ("presence", "handedness")
# By how many numbers the points have.
_FAMILIES = {
    # Left and right where the picture is no mirror image.
    63: _Family("21 points of a hand", ("left", "right"), 3, 0, False),
    1404: _Family("468 points of a face", ("face",), 3, 0, True),
    1434: _Family("478 points of a face and its irises", ("face",), 3, 0, True),
    # Six more than the 33 lead to the region in the next frame; they are no joints.
    195: _Family("33 points of a pose", ("person",), 5, 33, False),
    165: _Family("33 points of a pose", ("person",), 5, 0, False),
    213: _Family(
        "71 points around an eye and 5 of its iris", ("eye",), 3, 0, False, 15, has_presence=False
    ),
    # So few numbers may be anything.
    18: _Family("9 points of a box in space", ("object",), 2, 0, False, sure=False),
}


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder; where there is ``handedness``, the labels are left and right."""
    p = parse(Params, params)
    size = of_pictures(size, "landmarks")

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Detections:
        points = _points(tensor(outputs, "points", "landmarks"), p)
        if "more" in outputs:
            points = np.concatenate([points, _points(outputs["more"], p)])
        score = _one(outputs, "presence", 1.0)
        if "presence" in outputs and p.presence_logit:
            score = float(sigmoid(np.array([score], np.float32))[0])
        right = _one(outputs, "handedness", 0.0)
        places = points[:, :2]
        # NaN compares false.
        if not score >= p.conf or not np.isfinite([score, right]).all() or not sound(places).all():
            return Detections.empty(labels)
        score = min(score, 1.0)
        # Nothing says that a point is hidden where logits are broken, so that counts as hidden.
        seen = np.nan_to_num(sigmoid(points[:, 3])) if p.values > 3 else np.float32(score)
        keypoints = np.column_stack([places, np.broadcast_to(seen, len(places))])[None]
        box = np.concatenate([places.min(0), places.max(0)])[None]
        class_id = int(right > 0.5) if len(labels) == 2 and "handedness" in outputs else 0
        found = (box, np.array([score], np.float32), np.array([class_id], np.int64))
        return finish(found, Kept(1), labels, geometry, keypoints.astype(np.float32))

    return decode


def _points(values: Floats, p: Params) -> Floats:
    """(K, values), those that are kept."""
    if values.shape[-1] != values.size or not values.size or values.size % p.values:
        raise ModelError(
            f"the model gives points {values.shape}; the landmarks layout needs (1, K * "
            f"{p.values}), {p.values} values for each point"
        )
    points = values.reshape(-1, p.values)
    if p.keep > len(points):
        raise ModelError(
            f"the model gives {len(points)} points, of which decode.keep = {p.keep} are to stay"
        )
    return points[: p.keep] if p.keep else points


def _one(outputs: Mapping[str, Floats], name: str, otherwise: float) -> float:
    if name not in outputs:
        return otherwise
    if outputs[name].size != 1:
        raise ModelError(
            f"the model gives {name} {outputs[name].shape}; the landmarks layout needs (1, 1)"
        )
    return float(outputs[name].reshape(-1)[0])


def recognise(file: Foreign) -> Match | None:
    """An output of as many numbers as MediaPipe's nets have, and a presence."""
    sizes = {name: _size(shape) for name, shape in file.outputs.items()}
    names, told = in_order(sizes)
    points = [n for n in names if sizes[n] in _FAMILIES and "world" not in n.lower()]
    flags = [n for n in names if sizes[n] == 1]
    if not points:
        return None
    # A hand has its points twice, in net pixels and then in metres.
    family = _FAMILIES[sizes[points[0]]]
    more = [n for n in names if family.more and sizes[n] == family.more]
    if bool(flags) != family.has_presence or len(more) != bool(family.more):
        return None
    # Stable: the side comes last, wherever a name says that it is one.
    flags.sort(key=lambda n: "left" in n.lower() or "handed" in n.lower())
    named = {"points": points[0]}
    named |= zip(("more",), more, strict=False)
    named |= zip(_FLAGS[: len(family.labels)], flags, strict=False)
    labels = family.labels if len(family.labels) == 1 or len(flags) > 1 else ("hand",)
    return Match(
        outputs=named,
        classes=len(labels),
        why=f"output {file.outputs[points[0]]}: {family.what} on a crop",
        sure=family.sure and (told or len(points) == 1),
        params={
            "values": family.values,
            "keep": family.keep,
            "presence_logit": family.presence_logit,
        },
        fit="letterbox",
        mean=family.mean,
        std=family.std,
        pad=0,
        labels=labels,
    )


def _size(shape: tuple[int, ...]) -> int:
    """How many numbers, where all lie on the last axis; otherwise 0."""
    if min(shape[1:], default=1) < 1:
        return 0
    inner = [n for n in shape[1:] if n != 1]
    return inner[0] if len(inner) == 1 else int(not inner)
