"""Picture classifier of depthwise convolutions.

A stack of MobileNetV2's blocks (Sandler et al. 2018, https://arxiv.org/abs/1801.04381),
a global average and one linear layer. Size ``mbv2`` is MobileNetV2 1.0 itself:
give its ImageNet checkpoint as ``net.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgenn.errors import UsageError
from edgenn.nets import NetSpec
from edgenn.nets._mobilenet import STAGES, STEM, Backbone, Stages

TASK = "classify"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        stem: Channels of the first convolution.
        stages: Expansion, channels, repeats, stride of each stage.
        width: Factor on all channels.
        last: Channels of a closing 1x1 convolution; 0 leaves it out.
        dropout: Share of features dropped before the linear layer, in training.
    """

    stem: int
    stages: Stages
    width: float = 1.0
    last: int = 0
    dropout: float = 0.1


SIZES = {
    "n": Config(
        16,
        ((1, 16, 1, 1), (3, 24, 2, 2), (3, 32, 2, 2), (3, 48, 1, 2)),
    ),
    "s": Config(
        16,
        ((1, 16, 1, 1), (4, 24, 2, 2), (4, 40, 3, 2), (4, 64, 3, 2)),
        dropout=0.2,
    ),
    "m": Config(
        24,
        ((1, 16, 1, 1), (4, 32, 2, 2), (4, 56, 3, 2), (4, 96, 5, 2)),
        last=256,
        dropout=0.2,
    ),
    "mbv2": Config(STEM, STAGES, last=1280, dropout=0.2),
}


class Classifier(nn.Module):
    """(B, 3, H, W) to logits (B, C)."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(config.stem, config.stages, config.width, config.last)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(self.backbone.channels[-1], classes)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, C) of pictures (B, 3, H, W)."""
        # A mean over both axes is one operator in ONNX and in TFLite, at any layout.
        features = self.backbone(x)[-1].mean((2, 3))
        logits: Tensor = self.head(self.dropout(features))
        return logits


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not pictures.
    """
    if spec.size is None:
        raise UsageError("net.family dscnn takes pictures; use rnn for sensor windows")
    return Classifier(config, spec.classes)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
