"""Muon: steps of orthogonal directions for the weights of dense layers, AdamW for the rest."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

# Quintic whose repeated use drives all singular values to about 1 (Jordan 2024).
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
# Brings the size of a step to that of Adam's (Liu et al. 2025), so that one lr fits both.
_RMS = 0.2


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by Newton-Schulz steps.

    Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon), with decay and
    scale of Liu et al. 2025 (https://arxiv.org/abs/2502.16982). The kernel of a
    convolution (out, in, h, w) counts as a matrix (out, in * h * w).

    Args:
        groups: Parameter groups, each with ``lr``, ``weight_decay`` and ``muon``; those
            where the last is False are stepped as by AdamW (Loshchilov and Hutter 2019).
        momentum: Share of the momentum that is kept, 0..1.
    """

    def __init__(self, groups: list[dict[str, Any]], momentum: float = 0.95) -> None:
        super().__init__(groups, {"momentum": momentum, "betas": (0.9, 0.999), "eps": 1e-8})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # overloads add nothing here
        """Change every parameter that has a gradient."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    (self._orthogonal if group["muon"] else self._adam)(parameter, group)
        return loss

    def _orthogonal(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(grad, 1 - group["momentum"])
        update = orthogonal(grad.lerp(momentum, group["momentum"]).flatten(1))
        scale = _RMS * math.sqrt(max(update.shape))
        parameter.add_(update.view_as(parameter), alpha=-group["lr"] * scale)

    def _adam(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, grad = self.state[parameter], parameter.grad
        assert grad is not None
        if not state:
            state["step"] = torch.zeros(())
            state["mean"], state["square"] = torch.zeros_like(grad), torch.zeros_like(grad)
        state["step"] += 1
        first, second = group["betas"]
        mean = state["mean"].lerp_(grad, 1 - first)
        square = state["square"].lerp_(grad.square(), 1 - second)
        step = float(state["step"])
        spread = (square / (1 - second**step)).sqrt_().add_(group["eps"])
        parameter.addcdiv_(mean, spread, value=-group["lr"] / (1 - first**step))


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest matrix with orthogonal rows or columns, roughly: most singular values 0.7..1.2.

    Args:
        matrix: (R, C) float32.

    Returns:
        (R, C) float32.
    """
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    y: Tensor = x.mT if tall else x
    return y
