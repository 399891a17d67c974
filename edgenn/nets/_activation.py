"""Activations by name, and a way from one to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

Activation = Literal["relu", "silu"]

_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "silu": functional.silu,
}


class Blend(nn.Module):
    """An activation that training can reach by way of another one.

    Weights that were trained with SiLU (Elfwing et al. 2018,
    https://arxiv.org/abs/1702.03118) break when ReLU takes its place at once;
    mixed in little by little, the network follows.

    Attributes:
        before: Activation to come from.
        share: How much of the own activation applies, 0..1; the rest is ``before``.
    """

    def __init__(self, name: Activation) -> None:
        super().__init__()
        self.name = name
        self.before: Activation = name
        self.share = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        if self.share == 1.0:
            return _FUNCTIONS[self.name](x)
        return _FUNCTIONS[self.before](x).lerp(_FUNCTIONS[self.name](x), self.share)

    def extra_repr(self) -> str:
        """What ``print`` says of it."""
        return self.name
