"""Classifiers: one tensor ``logits`` of (1, C), by softmax or sigmoid to scores.

With two labels it may be (1, 1), which is the second of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder, Foreign, Match
from edgenn.ops.decode._foreign import softmax, stacked
from edgenn.ops.decode._params import parse
from edgenn.ops.preprocess import Geometry
from edgenn.types import Classification, Floats

__all__ = ["Params", "build", "recognise", "settle", "sigmoid", "softmax"]


@dataclass(frozen=True)
class Params:
    """What the manifest may set.

    Attributes:
        activation: What makes scores of the tensor: "softmax", "sigmoid" where several classes
            may hold at once, "none" where the net did it itself; "auto" is "none" where all
            values lie in 0..1 and sum to about 1, else "softmax".
    """

    activation: Literal["softmax", "sigmoid", "none", "auto"] = "softmax"


# Other things that nets give so many numbers of.
_OTHERS = dict.fromkeys((128, 192, 256, 384, 512, 768, 1024, 1280, 2048), "features") | {
    2 * n: f"{n} key points" for n in (21, 68, 98, 106)
}
_MATCH = Match({}, 0, "", params={"activation": "auto"}, fit="crop", side=224)
# How far the length of a vector may be from 1 by rounding.
_UNIT = 1e-3


def recognise(file: Foreign) -> Match | None:
    """One tensor (1, C), or (1, C, 1, 1) or (1, 1, 1, C) as pooling leaves it.

    A single number may be a score that tells two classes apart.
    """
    if len(file.outputs) != 1:
        return None
    ((name, shape),) = file.outputs.items()
    if len(shape) not in (2, 4) or shape[0] not in (-1, 1):
        return None
    sizes = [n for n in shape[1:] if n != 1]
    if not sizes and len(shape) == 2:
        why = f"output {shape}: one score, 0 for the first of two classes, 1 for the second"
        return replace(_MATCH, outputs={"logits": name}, classes=2, why=why, sure=file.labels == 2)
    if len(sizes) != 1 or sizes[0] < 2:
        return None
    named = file.labels == sizes[0]
    other = "" if named else _OTHERS.get(sizes[0], "")
    return replace(
        _MATCH,
        outputs={"logits": name},
        classes=sizes[0],
        why=f"output {shape}: a score for each of {sizes[0]} classes"
        + (f", unless they are {other}" if other else ""),
        # A net with a few numbers may as well tell points or a box.
        sure=named or (not other and (sizes[0] >= 10 or "logit" in name.lower())),
    )


def shows(match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]) -> bool:
    """Whether they are shares of 1, as no points, boxes or features are."""
    del match, size
    rows = [sample["logits"].reshape(-1) for sample in samples]
    # Half a step of 8 bits each, closer than two numbers come to it by chance again and again.
    room = 0.002 * len(rows[0]) + 1e-4
    return len(rows[0]) > 1 and all(r.min() >= 0 and abs(r.sum() - 1) <= room for r in rows)


def settle(
    match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]
) -> tuple[Match, str]:
    """Tell the activation from outputs of a few pictures; and say why.

    Raises:
        ModelError: They are no scores.
    """
    del size
    rows = stacked(samples, "logits").reshape(len(samples), -1)
    if rows.min() < 0 and (np.abs(np.linalg.norm(rows, axis=1) - 1) < _UNIT).all():
        raise ModelError(
            "the model's output always has a length of 1: features to compare, no scores of classes"
        )
    if rows.min() < 0 or rows.max() > 1:
        activation = "softmax" if rows.shape[1] > 1 else "sigmoid"
        why = "values outside of 0..1 are logits"
    elif all(map(_is_distribution, rows)):
        activation, why = "none", "values already sum to 1"
    else:
        activation, why = "none", "values in 0..1 are scores already, of several classes perhaps"
    return replace(match, params={**match.params, "activation": activation}), why


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder."""
    del size
    activation = parse(Params, params).activation

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Classification:
        del geometry
        logits = outputs["logits"].reshape(-1)
        if len(logits) == 1 and len(labels) == 2:
            second = _SCORES[activation](logits)
            return Classification(np.concatenate([1 - second, second]), labels)
        if len(logits) != len(labels):
            raise ModelError(f"the model gives {len(logits)} scores for {len(labels)} labels")
        return Classification(_SCORES[activation](logits), labels)

    return decode


def sigmoid(logits: Floats) -> Floats:
    """Logistic function, float32; does not overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)), np.float32)


def _is_distribution(row: Floats) -> bool:
    # 8-bit scores are off by half a step each, so the sum is only about 1.
    return bool(row.min() >= 0 and row.max() <= 1 and abs(row.sum() - 1) < 0.1)


def _auto(row: Floats) -> Floats:
    return row if _is_distribution(row) else softmax(row)


_SCORES = {"softmax": softmax, "sigmoid": sigmoid, "none": lambda row: row, "auto": _auto}
