"""Training that feels the rounding of int8: quantisation-aware training.

Jacob et al. 2018 (https://arxiv.org/abs/1712.05877), for activations alone: weights,
which have a scale per channel, lose little. Ranges are the extremes of each batch, as
calibration finds them later.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edgenn.errors import RecipeError

# SiLU of anything below is within 0.003 of 0: its inputs need no codes for that.
SILU_FLOOR = -8.0
_STEPS = 255


def enable(net: nn.Module) -> None:
    """Round what activations give, and what SiLU takes, whenever ``net`` runs.

    Raises:
        RecipeError: It has no activations that are modules.
    """
    sites = [m for m in net.modules() if isinstance(m, nn.ReLU | nn.ReLU6 | nn.SiLU)]
    if not sites:
        raise RecipeError("train.qat: this family has no activations to round; leave it off")
    for module in sites:
        if isinstance(module, nn.SiLU):
            # A convolution ends in numbers of its own there; with ReLU they are one.
            module.register_forward_pre_hook(_before)
        module.register_forward_hook(_after)


def rounded(x: Tensor, floor: float = -torch.inf) -> Tensor:
    """``x`` on a grid of 256 steps between its extremes, zero among them.

    Args:
        x: Any shape.
        floor: Smaller values become this.
    """
    x = x.float()
    low, high = torch.aminmax(x.detach())
    low, high = low.clamp(floor, 0), high.clamp(min=0)
    scale = ((high - low) / _STEPS).clamp(min=1e-9)
    zero = (-low / scale).round().int()
    # Its gradient goes straight through the rounding, and nowhere below the floor.
    return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, _STEPS)


def _before(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    del module
    return rounded(inputs[0], SILU_FLOOR)


def _after(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    del module, inputs
    return rounded(output)
