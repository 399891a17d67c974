"""Inverted residual blocks and the backbone made of them.

MobileNetV2, Sandler et al. 2018 (https://arxiv.org/abs/1801.04381). Modules are
named as in the usual ImageNet checkpoints (``features.N.conv...``), so that
those weights map by key.
"""

from __future__ import annotations

from torch import Tensor, nn

# expansion, channels, repeats, stride of each stage
Stages = tuple[tuple[int, int, int, int], ...]

STEM = 32
STAGES: Stages = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def conv_bn(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch normalisation, ReLU6; keys 0 and 1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(),
    )


def separable(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Depthwise then pointwise convolution, each with its normalisation and ReLU6."""
    return nn.Sequential(conv_bn(inputs, inputs, kernel, groups=inputs), conv_bn(inputs, outputs))


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow without activation; add the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.adds = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            *([conv_bn(inputs, hidden)] if expand != 1 else []),
            conv_bn(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H / stride, W / stride)."""
        y: Tensor = self.conv(x)
        return x + y if self.adds else y


class Backbone(nn.Module):
    """Stem and stages; gives the last features of every stride.

    Args:
        stem: Channels of the first convolution.
        stages: What follows it; leave some out at the end to cut the net short.
        width: Factor on all channels, rounded to multiples of 8.
        last: Channels of a closing 1x1 convolution; 0 leaves it out.
        inputs: Channels of the pictures.
        kernel: Side of the first convolution's kernel.
        stride: Of the first convolution.

    Attributes:
        strides: Input pixels per feature, of each output.
        channels: Channels of each output.
    """

    def __init__(
        self,
        stem: int,
        stages: Stages,
        width: float = 1.0,
        last: int = 0,
        *,
        inputs: int = 3,
        kernel: int = 3,
        stride: int = 2,
    ) -> None:
        super().__init__()
        channels = _scaled(stem, width)
        layers: list[nn.Module] = [conv_bn(inputs, channels, kernel, stride)]
        found = {stride: (0, channels)}
        total = stride
        for expand, wanted, repeats, first in stages:
            outputs = _scaled(wanted, width)
            for i in range(repeats):
                step = first if i == 0 else 1
                layers.append(InvertedResidual(channels, outputs, step, expand))
                channels, total = outputs, total * step
                found[total] = (len(layers) - 1, channels)
        if last:
            layers.append(conv_bn(channels, last))
            found[total] = (len(layers) - 1, last)
        self.features = nn.Sequential(*layers)
        self.strides = tuple(found)
        self.channels = tuple(c for _, c in found.values())
        self._taps = tuple(i for i, _ in found.values())
        init_convs(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, inputs, H, W) to one (B, C, H / stride, W / stride) per entry of ``strides``."""
        taken = []
        for i, layer in enumerate(self.features):
            x = layer(x)
            if i in self._taps:
                taken.append(x)
        return taken

    def receptive_fields(self) -> dict[int, int]:
        """Side, in input pixels, of what one feature can see, by stride.

        Araujo et al. 2019 (https://distill.pub/2019/computing-receptive-fields),
        along the longest path.
        """
        fields: dict[int, int] = {}
        side = jump = 1
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                side += (module.kernel_size[0] - 1) * jump
                jump *= module.stride[0]
                fields[jump] = side
        return fields


def init_convs(module: nn.Module) -> None:
    """He et al. 2015 for convolutions, ones and zeros for normalisation."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out")
            if m.bias is not None:
                nn.init.zeros_(m.bias)


def _scaled(channels: int, width: float) -> int:
    if width == 1:
        return channels
    return max(8, int(channels * width + 4) // 8 * 8)
