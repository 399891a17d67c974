"""Sequence classifier: dilated convolutions that look back only.

Temporal convolutional network, Bai et al. 2018 (https://arxiv.org/abs/1803.01271),
after WaveNet, van den Oord et al. 2016 (https://arxiv.org/abs/1609.03499); with
batch normalisation, which joins the convolutions at export.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from edgenn.nets import NetSpec
from edgenn.nets._causal import Chain, Classifier, Conv, Layer, Pool, Pools, Residual, check_window

TASK = "sequence"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        channels: Of all blocks.
        dilations: Steps between the taps of each block; the memory is the sum of them
            times ``2 * (kernel - 1)``.
        kernel: Taps of each convolution.
        stride: Readings per step, taken by the first convolution; must divide the window.
        pools: What is classified: the features of the "last" step, their "mean" or "max".
        limit: Steps that mean and maximum go back.
        dropout: Share of features dropped before the last layer, in training.
    """

    channels: int
    dilations: tuple[int, ...]
    kernel: int = 3
    stride: int = 4
    pools: tuple[Pool, ...] = ("last",)
    limit: int = 256
    dropout: float = 0.3


SIZES = {
    "n": Config(24, (1, 2, 4)),
    "s": Config(48, (1, 2, 4, 8)),
    "m": Config(96, (1, 2, 4, 8)),
}


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not windows, or ``stride`` does not divide them.
    """
    check_window("tcn", spec, config.stride)
    width = config.channels
    layers: list[Layer] = [Conv(spec.channels, width, config.stride + 3, stride=config.stride)]
    layers += [
        Residual(
            Chain(
                [
                    Conv(width, width, config.kernel, dilation=dilation),
                    Conv(width, width, config.kernel, dilation=dilation, act=False),
                ]
            )
        )
        for dilation in config.dilations
    ]
    pools = Pools(config.pools, width, config.limit)
    return Classifier([*layers, pools], pools.width, spec.classes, config.dropout)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
