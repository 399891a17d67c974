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
        limits: Low and high that normalised values are cut to, so that small differences
            between them count beside large ones outside; none leaves all as they are. A low
            of 0 makes what is dark and around the frame alike.
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
    limits: tuple[float, float] | None = None
    motion: bool = True
    layers: int = 1
    cell: Cell = "gru"
    pools: tuple[Pool, ...] = ("last", "mean")
    limit: int = 128
    dropout: float = 0.3


SIZES = {
    "n": Config(24, ((1, 32, 1, 2), (3, 48, 2, 2)), 64, 96),
    "s": Config(24, ((1, 32, 1, 2), (3, 64, 3, 2)), 96, 128),
    "m": Config(32, ((1, 48, 1, 2), (4, 96, 4, 2)), 128, 192),
}


class Video(Layer):
    """(B, T, 3, H, W) to logits (B, T, classes): what is known after each frame.

    Memory: the mean of the colours of the last frame, where the motion path needs it;
    then that of what follows the picture net.

    Args:
        config: Numbers of the size.
        size: Height, width of the frames.
        classes: Number of labels.
    """

    def __init__(self, config: Config, size: tuple[int, int], classes: int) -> None:
        super().__init__()
        self.grey, self.motion, self.size = config.grey, config.motion, size
        self.limits = config.limits
        self.backbone = Backbone(
            config.stem,
            config.stages,
            config.width,
            config.last,
            inputs=(1 if config.grey else 3) + config.motion,
            kernel=config.kernel,
            stride=config.stride,
        )
        self.cell = _cell(config.grid, size, self.backbone.strides[-1])
        features = self.backbone.channels[-1] * config.grid**2
        layers = [
            Each(nn.Linear(features, config.embed), nn.ReLU()),
            Recurrent(config.cell, config.embed, config.hidden, config.layers),
        ]
        pools = Pools(config.pools, config.hidden, config.limit)
        self.over_time = Classifier([*layers, pools], pools.width, classes, config.dropout)

    def memory(self, batch: int) -> Memory:
        """(B, 1, H, W) of the motion path, and what follows."""
        weight = next(self.backbone.parameters())
        frame = [weight.new_zeros(batch, 1, *self.size)] if self.motion else []
        return frame + self.over_time.memory(batch)

    def stream(self, x: Tensor, memory: Memory) -> tuple[Tensor, Memory]:
        """(B, T, 3, H, W) to (B, T, classes)."""
        batch, length = x.shape[:2]
        frames, kept = self._shown(x.flatten(0, 1), memory[: self.motion], length)
        features = functional.avg_pool2d(self.backbone(frames)[-1], self.cell)
        logits, rest = self.over_time.stream(
            features.reshape(batch, length, -1), memory[self.motion :]
        )
        return logits, kept + rest

    def _shown(self, frames: Tensor, memory: Memory, length: int) -> tuple[Tensor, Memory]:
        """What the picture net sees of (B * T, 3, H, W) frames, and what is remembered of them."""
        if self.limits:
            frames = frames.clamp(*self.limits)
        if not self.grey and not self.motion:
            return frames, []
        shade = frames.mean(1, keepdim=True)
        shown = shade if self.grey else frames
        if not self.motion:
            return shown, []
        last = memory[0]
        if length == 1:  # what converters know, and all that a step needs
            return torch.cat([shown, shade - last], 1), [shade]
        clips = shade.reshape(-1, length, *shade.shape[1:])
        before = torch.cat([last[:, None], clips[:, :-1]], 1).flatten(0, 1)
        return torch.cat([shown, shade - before], 1), [clips[:, -1]]


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not video, or the grid does not divide the features.
    """
    if spec.size is None:
        raise UsageError("net.family videocrnn takes clips of video; use crnn for sensor windows")
    return Video(config, spec.size, spec.classes)


def _cell(grid: int, size: tuple[int, int], stride: int) -> tuple[int, int]:
    """Rows and columns of features that are averaged into one."""
    rows, columns = (-(-side // stride) for side in size)
    if min(rows, columns) < grid or rows % grid or columns % grid:
        raise UsageError(
            f"net.options.grid: a grid of {grid} does not divide the {rows} x {columns} features "
            f"of a frame of {size[0]} x {size[1]} pixels; use an input.imgsz of multiples of "
            f"{stride * grid}, or a grid of 1"
        )
    return rows // grid, columns // grid


def decode_params(config: Config) -> dict[str, Any]:
    """The layout of one vector of logits has no parameters."""
    del config
    return {}
