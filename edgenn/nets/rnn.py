"""Sequence classifier: GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997).

Several readings are stacked into one step, which costs an engine less than one
step per reading.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from edgenn.nets import NetSpec
from edgenn.nets._causal import Cell, Classifier, Each, Pool, Pools, Recurrent, Stack, check_window

TASK = "sequence"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        hidden: Units of each recurrent layer.
        embed: Units of the linear layer before them.
        layers: Recurrent layers.
        cell: "gru" or "lstm".
        stack: Readings per step; must divide the window.
        pools: What is classified: the "last" state, the "mean" of all.
        limit: Steps that mean and maximum go back.
        dropout: Share of features dropped before the last layer, in training.
    """

    hidden: int
    embed: int
    layers: int = 1
    cell: Cell = "gru"
    stack: int = 4
    pools: tuple[Pool, ...] = ("last",)
    limit: int = 256
    dropout: float = 0.1


SIZES = {
    "n": Config(32, 32),
    "s": Config(64, 64),
    "m": Config(96, 96, layers=2, dropout=0.2),
}


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not windows, or ``stack`` does not divide them.
    """
    check_window("rnn", spec, config.stack)
    layers = [
        Stack(config.stack),
        Each(nn.Linear(config.stack * spec.channels, config.embed), nn.ReLU()),
        Recurrent(config.cell, config.embed, config.hidden, config.layers),
    ]
    pools = Pools(config.pools, config.hidden, config.limit)
    return Classifier([*layers, pools], pools.width, spec.classes, config.dropout)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
