"""Sequence classifier: convolutions over time, then a GRU or LSTM.

Convolutional, long short-term memory, fully connected networks: Sainath et al.
2015; for wearables DeepConvLSTM, Ordóñez and Roggen 2016
(https://doi.org/10.3390/s16010115). Here all convolutions look back only.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from torch import nn

from edgenn.nets import NetSpec
from edgenn.nets._causal import (
    Cell,
    Changes,
    Classifier,
    Conv,
    Layer,
    Pool,
    Pools,
    Recurrent,
    check_window,
)

TASK = "sequence"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        channels: Of each convolution.
        strides: Readings per output of each convolution; their product is a step.
        hidden: Units of each recurrent layer.
        kernel: Taps of each convolution.
        changes: Whether the differences between readings are given beside them.
        layers: Recurrent layers.
        cell: "gru" or "lstm".
        pools: What is classified: the "last" state, the "mean" of all.
        limit: Steps that mean and maximum go back.
        dropout: Share of features dropped before the last layer, in training.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    hidden: int
    kernel: int = 5
    changes: bool = False
    layers: int = 1
    cell: Cell = "gru"
    pools: tuple[Pool, ...] = ("last", "mean")
    limit: int = 256
    dropout: float = 0.3


SIZES = {
    "n": Config((16, 32), (2, 2), 32),
    "s": Config((32, 64, 64), (2, 1, 2), 64),
    "m": Config((48, 96, 128), (2, 1, 2), 128),
}


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not windows, or the strides do not divide them.
    """
    check_window("crnn", spec, prod(config.strides))
    layers: list[Layer] = [Changes(spec.channels)] if config.changes else []
    inputs = spec.channels * (2 if config.changes else 1)
    for outputs, stride in zip(config.channels, config.strides, strict=True):
        layers.append(Conv(inputs, outputs, config.kernel, stride=stride))
        inputs = outputs
    layers.append(Recurrent(config.cell, inputs, config.hidden, config.layers))
    pools = Pools(config.pools, config.hidden, config.limit)
    return Classifier([*layers, pools], pools.width, spec.classes, config.dropout)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
