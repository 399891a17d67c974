"""Detector without anchors: backbone, feature pyramid, a light head per level.

- pyramid: Lin et al. 2017 (https://arxiv.org/abs/1612.03144), with depthwise smoothing
- four distances per cell: FCOS, Tian et al. 2019 (https://arxiv.org/abs/1904.01355)

Sizes ``mbv2`` and ``mbv2l`` have the backbone of MobileNetV2 1.0: give its
ImageNet checkpoint as ``net.weights``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgenn.errors import UsageError
from edgenn.nets import NetSpec
from edgenn.nets._detect import STRIDES, Outputs, check_sides, double, join
from edgenn.nets._mobilenet import (
    STAGES,
    STEM,
    Backbone,
    InvertedResidual,
    Stages,
    init_convs,
    separable,
)

TASK = "detect"
OUTPUTS = ("boxes", "scores")
DECODER = "ltrb"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        stem: Channels of the first convolution.
        stages: Expansion, channels, repeats, stride of each stage of the backbone.
        neck: Channels of the pyramid and the head.
        width: Factor on the backbone's channels.
        extra: Channels of a cheap stage of stride 32 after a backbone that
            ends at stride 16; 0 where the backbone has its own.
        kernel: Side of the depthwise convolutions of pyramid and head.
        depth: Convolutions of each branch of the head.
    """

    stem: int
    stages: Stages
    neck: int
    width: float = 1.0
    extra: int = 0
    kernel: int = 5
    depth: int = 2


SIZES = {
    "n": Config(
        16,
        ((1, 16, 1, 1), (4, 24, 2, 2), (4, 32, 3, 2), (4, 56, 4, 2), (4, 96, 2, 2)),
        neck=48,
        depth=1,
    ),
    "s": Config(
        24,
        ((1, 16, 1, 1), (4, 32, 3, 2), (4, 48, 4, 2), (4, 96, 6, 2), (4, 160, 3, 2)),
        neck=80,
    ),
    "m": Config(
        32,
        ((1, 24, 1, 1), (4, 40, 3, 2), (4, 72, 5, 2), (5, 128, 7, 2), (5, 208, 4, 2)),
        neck=96,
    ),
    "mbv2": Config(STEM, STAGES[:5], neck=80, extra=128),
    "mbv2l": Config(STEM, STAGES[:6], neck=96),
}


class Pyramid(nn.Module):
    """Brings the backbone's features to one width and passes coarse ones down."""

    def __init__(self, channels: tuple[int, ...], width: int, kernel: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(c, width, 1, bias=False), nn.BatchNorm2d(width))
            for c in channels
        )
        self.smooth = nn.ModuleList(separable(width, width, kernel) for _ in channels)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """One (B, C, H, W) per level to one of equal width per level."""
        levels = [layer(f) for layer, f in zip(self.lateral, features, strict=True)]
        for i in range(len(levels) - 1, 0, -1):
            levels[i - 1] = levels[i - 1] + double(levels[i])
        return [layer(level) for layer, level in zip(self.smooth, levels, strict=True)]


class Head(nn.Module):
    """Two branches for one level: what is there, and how far its edges are.

    Levels do not share weights: a normalisation that differs per level over a
    shared convolution cannot be folded into it, and int8 suffers for that.
    """

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        width = config.neck

        def branch() -> nn.Sequential:
            return nn.Sequential(
                *(separable(width, width, config.kernel) for _ in range(config.depth))
            )

        self.what, self.where = branch(), branch()
        init_convs(self)
        self.outputs = Outputs(width, classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) to distances (B, H*W, 4) and logits (B, H*W, classes)."""
        pair: tuple[Tensor, Tensor] = self.outputs(self.what(x), self.where(x))
        return pair


class Detector(nn.Module):
    """(B, 3, H, W) to distances (B, N, 4) in strides, at least 0, and logits (B, N, C)."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(config.stem, config.stages, config.width)
        strides, channels = self.backbone.strides, self.backbone.channels
        self.coarse: InvertedResidual | None = None
        if config.extra:
            self.coarse = InvertedResidual(channels[-1], config.extra, 2, 2)
            init_convs(self.coarse)
            strides, channels = (*strides, strides[-1] * 2), (*channels, config.extra)
        if strides[-3:] != STRIDES:
            raise UsageError(
                f"net.options: the backbone gives features of strides {strides}, "
                f"but the detector needs {STRIDES} last; change stages or extra"
            )
        self.pyramid = Pyramid(channels[-3:], config.neck, config.kernel)
        init_convs(self.pyramid)
        self.heads = nn.ModuleList(Head(config, classes) for _ in STRIDES)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores of pictures (B, 3, H, W)."""
        features = self.backbone(x)
        if self.coarse is not None:
            features.append(self.coarse(features[-1]))
        return join(self.heads, self.pyramid(features[-3:]))


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not pictures of a multiple of 32 pixels, or the
            stages do not give the strides that the head needs.
    """
    check_sides("anchorfree", spec)
    return Detector(config, spec.classes)


def decode_params(config: Config) -> dict[str, Any]:
    """Strides of the levels, in the order of the outputs' rows."""
    del config
    return {"strides": list(STRIDES)}
