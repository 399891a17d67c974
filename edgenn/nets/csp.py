"""Detector of cross-stage partial blocks: CSPDarknet, two-way pyramid, decoupled head.

- blocks: CSPNet, Wang et al. 2019 (https://arxiv.org/abs/1911.11929), depthwise
- pyramid both ways: PANet, Liu et al. 2018 (https://arxiv.org/abs/1803.01534)
- layout and proportions: YOLOX-Nano, Ge et al. 2021 (https://arxiv.org/abs/2107.08430),
  so that its COCO weights can be the start (`tools/data/yolox_nano.py`)

Other than there: boxes and scores are outputs of their own. By default ReLU, which
costs nothing beside a convolution and quantises well, a first convolution of side
3, no objectness, since scores are trained towards the quality of their box, and four
distances in place of centre and size; an option brings each of them back for weights
of YOLOX.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenn.nets import NetSpec
from edgenn.nets._detect import STRIDES, Outputs, check_sides, double, join
from edgenn.nets._mobilenet import init_convs
from edgenn.ops.boxes import Form

TASK = "detect"
OUTPUTS = ("boxes", "scores")
DECODER = "ltrb"
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU}


@dataclass(frozen=True)
class Config:
    """Numbers of one size.

    Attributes:
        stem: Channels of the first convolution; each stage doubles them.
        repeats: Residual blocks of the stages of stride 4, 8, 16 and 32.
        head: Channels of the head.
        depth: Separable convolutions of each branch of the head.
        kernel: Side of the first convolution; 6 for weights of YOLOX.
        activation: SiLU (Elfwing et al. 2018, https://arxiv.org/abs/1702.03118) for
            weights of YOLOX. In LiteRT's int8 it is a look-up and a product, a fifth on
            top of ReLU's time; ONNX Runtime's int8 takes twice as long with it.
        objectness: See `edgenn.nets._detect.Outputs`; True for weights of YOLOX.
        form: What the four numbers of a box are; "centre" for weights of YOLOX.
        parts: See `Split`; 1 leaves the first layers whole.
    """

    stem: int
    repeats: tuple[int, int, int, int] = (1, 3, 3, 1)
    head: int = 64
    depth: int = 2
    kernel: int = 3
    activation: Literal["relu", "silu"] = "relu"
    objectness: bool = False
    form: Form = "edges"
    parts: int = 1


SIZES = {
    "n": Config(8, (1, 2, 2, 1), head=48, depth=1),
    "s": Config(16),
    "yolox": Config(16, kernel=6, activation="silu", objectness=True, form="centre", parts=4),
    "m": Config(32, head=96),
}


class Conv(nn.Sequential):
    """Convolution, batch normalisation, activation."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ) -> None:
        padding = (kernel - 1) // 2
        conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        norm = nn.BatchNorm2d(outputs)
        super().__init__(conv, norm, nn.ReLU())


def separable(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3, then pointwise convolution."""
    return nn.Sequential(Conv(inputs, inputs, 3, stride, inputs), Conv(inputs, outputs))


class Residual(nn.Module):
    """Pointwise and separable convolution, with or without the input added."""

    def __init__(self, channels: int, *, adds: bool) -> None:
        super().__init__()
        self.adds = adds
        self.conv = nn.Sequential(Conv(channels, channels), separable(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


class Partial(nn.Module):
    """Half of the channels go through the blocks, half past them."""

    def __init__(self, inputs: int, outputs: int, repeats: int, *, adds: bool = True) -> None:
        super().__init__()
        half = outputs // 2
        self.through = Conv(inputs, half)
        self.past = Conv(inputs, half)
        self.join = Conv(2 * half, outputs)
        self.blocks = nn.Sequential(*(Residual(half, adds=adds) for _ in range(repeats)))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, outputs, H, W)."""
        through, past = self.through(x), self.past(x)
        y: Tensor = self.join(torch.cat([self.blocks(through), past], 1))
        return y


class SpatialPyramid(nn.Module):
    """Maxima over 5, 9 and 13 cells beside the features themselves.

    He et al. 2014 (https://arxiv.org/abs/1406.4729). Each maximum is taken of
    the one before, which gives the same with a third of the comparisons.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = Conv(channels, channels // 2)
        self.join = Conv(channels * 2, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        found = [self.narrow(x)]
        for _ in range(3):
            found.append(functional.max_pool2d(found[-1], 5, 1, 2))
        y: Tensor = self.join(torch.cat(found, 1))
        return y


class Split(nn.Module):
    """First convolution, and the depthwise one that follows, in parts of a few channels each.

    The same function as without parts. But each part has a scale of its own in int8: the
    first channels of trained networks differ a hundredfold in range, and one scale for all
    of them rounds the small ones away.
    """

    def __init__(self, channels: int, kernel: int, parts: int) -> None:
        super().__init__()
        each = channels // parts
        self.parts = nn.ModuleList(
            nn.Sequential(Conv(3, each, kernel, 2), Conv(each, each, 3, 2, each))
            for _ in range(parts)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, channels, H / 4, W / 4)."""
        return torch.cat([part(x) for part in self.parts], 1)


class Backbone(nn.Module):
    """Features of strides 8, 16 and 32, of 4, 8 and 16 times the stem's channels."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        c = config.stem
        # With a side of 6 the same as YOLOX's 2x2 pixels as channels and a 3x3 convolution.
        whole = config.parts == 1
        self.stem = Conv(3, c, config.kernel, 2) if whole else Split(c, config.kernel, config.parts)
        stages = []
        for i, repeats in enumerate(config.repeats):
            inputs, outputs = c << i, c << (i + 1)
            last = i == len(config.repeats) - 1
            begun = i == 0 and not whole
            stages.append(
                nn.Sequential(
                    Conv(inputs, outputs) if begun else separable(inputs, outputs, 2),
                    *([SpatialPyramid(outputs)] if last else []),
                    Partial(outputs, outputs, repeats, adds=not last),
                )
            )
        self.stages = nn.ModuleList(stages)
        init_convs(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) to the last three stages' features."""
        x = self.stem(x)
        found = []
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found[1:]


class Pyramid(nn.Module):
    """Passes coarse features down and fine ones up again."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        fine, middle, coarse = (config.stem * k for k in (4, 8, 16))
        self.reduce_coarse = Conv(coarse, middle)
        self.down_middle = Partial(2 * middle, middle, 1, adds=False)
        self.reduce_middle = Conv(middle, fine)
        self.down_fine = Partial(2 * fine, fine, 1, adds=False)
        self.stride_fine = separable(fine, fine, 2)
        self.up_middle = Partial(2 * fine, middle, 1, adds=False)
        self.stride_middle = separable(middle, middle, 2)
        self.up_coarse = Partial(2 * middle, coarse, 1, adds=False)
        init_convs(self)

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Three levels to three levels of the same shapes."""
        fine, middle, coarse = features
        top = self.reduce_coarse(coarse)
        middle = self.reduce_middle(self.down_middle(torch.cat([double(top), middle], 1)))
        fine = self.down_fine(torch.cat([double(middle), fine], 1))
        middle = self.up_middle(torch.cat([self.stride_fine(fine), middle], 1))
        coarse = self.up_coarse(torch.cat([self.stride_middle(middle), top], 1))
        return [fine, middle, coarse]


class Head(nn.Module):
    """Two branches for one level: what is there, and how far its edges are."""

    def __init__(self, inputs: int, config: Config, classes: int) -> None:
        super().__init__()
        width = config.head

        def branch() -> nn.Sequential:
            return nn.Sequential(*(separable(width, width) for _ in range(config.depth)))

        self.stem = Conv(inputs, width)
        self.what, self.where = branch(), branch()
        init_convs(self)
        self.outputs = Outputs(width, classes, objectness=config.objectness, form=config.form)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, H, W) to distances (B, H*W, 4) and logits (B, H*W, classes)."""
        x = self.stem(x)
        pair: tuple[Tensor, Tensor] = self.outputs(self.what(x), self.where(x))
        return pair


class Detector(nn.Module):
    """(B, 3, H, W) to distances (B, N, 4) in strides, at least 0, and logits (B, N, C)."""

    def __init__(self, config: Config, classes: int) -> None:
        super().__init__()
        self.backbone = Backbone(config)
        self.pyramid = Pyramid(config)
        self.heads = nn.ModuleList(Head(config.stem * k, config, classes) for k in (4, 8, 16))
        for module in self.modules():
            if isinstance(module, Conv):
                module[2] = ACTIVATIONS[config.activation]()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes and scores of pictures (B, 3, H, W)."""
        return join(self.heads, self.pyramid(self.backbone(x)))


def build(config: Config, spec: NetSpec) -> nn.Module:
    """Make the net.

    Raises:
        UsageError: The data is not pictures of a multiple of 32 pixels.
    """
    check_sides("csp", spec)
    return Detector(config, spec.classes)


def decode_params(config: Config) -> dict[str, Any]:
    """Strides of the levels, in the order of the outputs' rows, and form of the boxes."""
    return {"strides": list(STRIDES), "form": config.form}
