"""Sequence classifier of many scales: dilated convolutions, all of which are summed up over time.

- dilated residual convolutions: TCN, Bai et al. 2018 (https://arxiv.org/abs/1803.01271)
- running mean and maximum of many convolutional features, as in ROCKET, Dempster et
  al. 2020 (https://arxiv.org/abs/1910.13051), but learned
- a GRU (Cho et al. 2014) beside them, which knows the order of things

All of it looks back only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from edgenn.nets import NetSpec
from edgenn.nets._causal import (
    Beside,
    Chain,
    Classifier,
    Conv,
    Dense,
    Pools,
    Recurrent,
    Residual,
    check_window,
)

TASK = "sequence"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        channels: Of the convolutions.
        features: Of which mean and maximum are taken.
        hidden: Units of the GRU.
        kernel: Taps of the residual convolutions.
        dilations: Between their taps, two before and the rest after the second halving
            of the rate; a step is four readings.
        limit: Steps that means and maxima go back.
        dropout: Share of features dropped before the last layer, in training.
    """

    channels: int
    features: int
    hidden: int
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 4)
    limit: int = 256
    dropout: float = 0.3


SIZES = {
    "n": Config(16, 48, 24),
    "s": Config(24, 96, 48),
    "m": Config(36, 160, 64),
}


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not windows, or steps of four readings do not divide them.
    """
    check_window("mcrnn", spec, 4)
    width, kernel = config.channels, config.kernel

    def block(dilation: int) -> Residual:
        return Residual(Conv(width, width, kernel, dilation=dilation, act=False))

    scales = Dense(
        [
            Conv(spec.channels, width, 7, stride=2),
            *map(block, config.dilations[:2]),
            Conv(width, width, kernel, stride=2),
            *map(block, config.dilations[2:]),
        ]
    )
    many = Conv(width * len(scales.layers), config.features, 1)
    strongest = Pools(("mean", "max"), config.features, config.limit)
    order = Pools(("last", "mean"), config.hidden, config.limit)
    gru = Chain([Recurrent("gru", config.features, config.hidden, 1), order])
    layers = [scales, many, Beside([strongest, gru])]
    return Classifier(layers, strongest.width + order.width, spec.classes, config.dropout)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
