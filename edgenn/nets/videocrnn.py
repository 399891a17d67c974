"""Gestures in video: a small picture net per frame, then a GRU over the frames.

Long-term recurrent convolutional networks, Donahue et al. 2015
(https://arxiv.org/abs/1411.4389), with MobileNetV2's blocks (Sandler et al. 2018,
https://arxiv.org/abs/1801.04381). Beside the frame the net sees how it differs from
the one before: the cheapest form of a motion path (Simonyan and Zisserman 2014,
https://arxiv.org/abs/1406.2199). Takes (B, T, 3, H, W).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenn.errors import UsageError
from edgenn.nets import NetSpec
from edgenn.nets._causal import Cell, Classifier, Each, Layer, Memory, Pool, Pools, Recurrent
from edgenn.nets._mobilenet import Backbone, Stages

TASK = "sequence"
OUTPUTS = ("logits",)
DECODER = "classes"


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        stem: Channels of the first convolution.
        stages: Expansion, channels, repeats, stride of each stage.
        embed: Units of the linear layer between picture and recurrent layer.
        hidden: Units of each recurrent layer.
        width: Factor on all channels of stem and stages.
        last: Channels of a closing 1x1 convolution; 0 leaves it out.
        kernel: Side of the first convolution's kernel.
        stride: Of the first convolution; 4 costs far less than 2, as most of the work is at
            the finest features.
        grid: The features of a frame are averaged over so many rows and columns each, so
            that the net knows where things are; 1 averages over all of the frame.
        grey: Look at the mean of the colours alone.
        motion: Look at the difference to the frame before, too.
        layers: Recurrent layers.
        cell: "gru" or "lstm".
        pools: What is classified: the "last" state, the "mean" of all.
        limit: Frames that the mean goes back.
        dropout: Share of features dropped before the last layer, in training.
    """

    stem: int
    stages: Stages
    embed: int
    hidden: int
    width: float = 1.0
    last: int = 0
    kernel: int = 7
    stride: int = 4
    grid: int = 2
    grey: bool = False
    motion: bool = True
    layers: int = 1
    cell: Cell = "gru"
    pools: tuple[Pool, ...] = ("last", "mean")
    limit: int = 128
    dropout: float = 0.3


SIZES = {
    "n": Config(16, ((1, 24, 1, 2), (3, 48, 2, 2)), 64, 96),
    "s": Config(24, ((1, 32, 1, 2), (3, 64, 3, 2)), 96, 128),
    "m": Config(32, ((1, 48, 1, 2), (4, 96, 4, 2)), 128, 192),
}


class Frames(Layer):
    """Every frame on its own, and how it differs from the one before, to features.

    Memory: the mean of the colours of the last frame.

    Args:
        config: Numbers of the size.
        size: Height, width of the frames.

    Attributes:
        features: Values per frame.
    """

    def __init__(self, config: Config, size: tuple[int, int]) -> None:
        super().__init__()
        self.grey, self.motion, self.size = config.grey, config.motion, size
        inputs = (1 if config.grey else 3) + config.motion
        self.backbone = Backbone(
            config.stem,
            config.stages,
            config.width,
            config.last,
            inputs=inputs,
            kernel=config.kernel,
            stride=config.stride,
        )
        stride = self.backbone.strides[-1]
        sides = [-(-side // stride) for side in size]
        if min(sides) < config.grid or any(side % config.grid for side in sides):
            raise UsageError(
                f"net.options.grid: a grid of {config.grid} does not divide the "
                f"{sides[0]} x {sides[1]} features of a frame of {size[0]} x {size[1]} pixels; "
                f"use an input.imgsz of multiples of {stride * config.grid}, or a grid of 1"
            )
        self.cell = (sides[0] // config.grid, sides[1] // config.grid)
        self.features = self.backbone.channels[-1] * config.grid**2

    def memory(self, batch: int) -> Memory:
        """(B, 1, H, W), where the motion path needs it."""
        weight = next(self.backbone.parameters())
        return [weight.new_zeros(batch, 1, *self.size)] if self.motion else []

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, 3, H, W) to (B, T, features)."""
        batch, length = x.shape[:2]
        frames = x.flatten(0, 1)
        if self.grey or self.motion:
            shade = frames.mean(1, keepdim=True)
        if self.motion:
            before, memory = self._before(shade, memory[0], length)
            shown = [shade if self.grey else frames, shade - before]
            frames = torch.cat(shown, 1)
        elif self.grey:
            frames = shade
        features = self.backbone(frames)[-1]
        pooled = functional.avg_pool2d(features, self.cell)
        return pooled.reshape(batch, length, self.features), memory

    def _before(self, shade: Tensor, last: Tensor, length: int) -> tuple[Tensor, Memory]:
        """What came before each of (B * T, 1, H, W) frames, and the last frame of each clip."""
        if length == 1:  # what converters know, and all that a step needs
            return last, [shade]
        clips = shade.reshape(-1, length, *shade.shape[1:])
        before = torch.cat([last[:, None], clips[:, :-1]], 1)
        return before.flatten(0, 1), [clips[:, -1]]


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not video, or the grid does not divide the features.
    """
    if spec.size is None:
        raise UsageError("net.family videocrnn takes clips of video; use crnn for sensor windows")
    frames = Frames(config, spec.size)
    layers = [
        frames,
        Each(nn.Linear(frames.features, config.embed), nn.ReLU()),
        Recurrent(config.cell, config.embed, config.hidden, config.layers),
    ]
    pools = Pools(config.pools, config.hidden, config.limit)
    return Classifier(layers, pools, spec.classes, config.dropout)


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
