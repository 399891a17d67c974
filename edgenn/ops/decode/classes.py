"""Classifiers: one tensor ``logits`` of (1, C), softmax to scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgenn.errors import ModelError
from edgenn.ops.decode import Decoder
from edgenn.ops.decode._params import parse
from edgenn.ops.preprocess import Geometry
from edgenn.types import Classification, Floats


@dataclass(frozen=True)
class Params:
    """Nothing to set."""


def build(
    params: Mapping[str, Any], labels: tuple[str, ...], size: tuple[int, int] | None
) -> Decoder:
    """Make the decoder; the layout has no parameters."""
    del size
    parse(Params, params)

    def decode(outputs: Mapping[str, Floats], geometry: Geometry | None) -> Classification:
        del geometry
        logits = outputs["logits"].reshape(-1)
        if len(logits) != len(labels):
            raise ModelError(f"the model gives {len(logits)} scores for {len(labels)} labels")
        return Classification(softmax(logits), labels)

    return decode


def softmax(logits: Floats) -> Floats:
    """Softmax over the last axis, float32."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True), np.float32)
