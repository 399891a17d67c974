"""Sequence classifier: GRU (Cho et al. 2014) or LSTM (Hochreiter and Schmidhuber 1997).

Several readings are stacked into one step (Sak et al. 2015,
https://arxiv.org/abs/1507.06947): exporters unroll the loop, so a window of 128
readings in stacks of 4 costs 32 steps of graph instead of 128.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from edgenn.errors import UsageError
from edgenn.nets import NetSpec

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
        head: What is classified: the "last" state, or the "mean" of all.
        dropout: Share of features dropped before the linear layer, in training.
    """

    hidden: int
    embed: int
    layers: int = 1
    cell: Literal["gru", "lstm"] = "gru"
    stack: int = 4
    head: Literal["last", "mean"] = "last"
    dropout: float = 0.1


SIZES = {
    "n": Config(32, 32),
    "s": Config(64, 64),
    "m": Config(96, 96, layers=2, dropout=0.2),
}


class Recurrent(nn.Module):
    """(B, T, C) to logits (B, classes)."""

    def __init__(self, config: Config, spec: NetSpec) -> None:
        super().__init__()
        self.steps = spec.window // config.stack
        self.stacked = config.stack * spec.channels
        self.embed = nn.Linear(self.stacked, config.embed)
        kind = nn.GRU if config.cell == "gru" else nn.LSTM
        self.cells = kind(config.embed, config.hidden, config.layers, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(config.hidden, spec.classes)
        self.takes_mean = config.head == "mean"

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of windows (B, T, C)."""
        x = torch.relu(self.embed(x.reshape(x.shape[0], self.steps, self.stacked)))
        states, _ = self.cells(x)
        summary = states.mean(1) if self.takes_mean else states[:, -1]
        logits: Tensor = self.head(self.dropout(summary))
        return logits


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not windows, or ``stack`` does not divide them.
    """
    if not spec.window:
        raise UsageError("net.family rnn takes sensor windows; use dscnn for pictures")
    if config.stack < 1 or spec.window % config.stack:
        fits = [k for k in range(1, 17) if spec.window % k == 0]
        raise UsageError(
            f"net.options.stack {config.stack} does not divide input.window {spec.window}; "
            f"use one of {', '.join(map(str, fits))}, or another window"
        )
    return Recurrent(config, spec)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
