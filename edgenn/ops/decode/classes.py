"""Classifiers: one tensor ``logits`` with C numbers, in any shape, to a score per class.

Nets of edgenn give logits, of which softmax makes scores. Foreign files may give scores
already, or logits of labels that do not exclude each other, of which each is a sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._params import parse
from edgenn.ops.preprocess import Geometry
from edgenn.types import Classification, Floats

# Sums of scores in float16 or codes of 8 bits are off by so much.
_ROUNDING = 0.05
_IMAGENET = (1000, 1001)
_MOST = 100_000


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        activation: What makes scores of the tensor: "softmax", "sigmoid", "none", or "auto",
            which is none where all numbers lie in 0..1 and softmax elsewhere.
        skip: Whether the first number is that of a background without a label.
    """

    activation: Literal["softmax", "sigmoid", "none", "auto"] = "softmax"
    skip: bool = False


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder."""
    del size
    p = parse(Params, params)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Classification:
        del geometry
        logits = outputs["logits"].reshape(-1)
        if len(logits) != len(labels) + p.skip:
            raise ModelError(f"the model gives {len(logits)} scores for {len(labels)} labels")
        scores = _scores(logits, p.activation)
        return Classification(scores[1:] if p.skip else scores, labels)

    return decode


def _scores(values: Floats, activation: str) -> Floats:
    if activation == "auto":
        slack = _ROUNDING / len(values)
        done = values.min() >= -slack and values.max() <= 1 + slack
        activation = "none" if done else "softmax"
    if activation == "softmax":
        return softmax(values)
    if activation == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-np.clip(values, -80, 80))), np.float32)
    return values.clip(0, 1)


def softmax(logits: Floats) -> Floats:
    """Softmax over the last axis, float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)


def recognise(file: Foreign) -> Match | None:
    """One output whose numbers all lie on one axis."""
    shapes = {n: [s for s in shape[1:] if s != 1] for n, shape in file.outputs.items()}
    # More than one row, or none, is a list of boxes.
    if len(shapes) != 1 or any(shape[:1] not in ((1,), (-1,)) for shape in file.outputs.values()):
        return None
    (name, inner), *_ = shapes.items()
    if len(inner) != 1 or not 2 <= inner[0] <= _MOST:
        return None
    count = inner[0]
    # Without labels it may as well be an embedding.
    named = file.labels in (count, count - 1)
    background = named and file.labels == count - 1
    return Match(
        outputs={"logits": name},
        classes=count - background,
        why=f"output {file.outputs[name]}: {count} classes",
        sure=named or count in _IMAGENET or file.metadata.get("task") == "classify",
        params={"activation": "auto", **({"skip": True} if background else {})},
        fit="crop",
    )
