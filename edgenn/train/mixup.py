"""Two recordings in one: mixup, Zhang et al. 2017 (https://arxiv.org/abs/1710.09412)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from edgenn.train.losses import Loss


class Mixed(nn.Module):
    """A loss of what is two samples at once.

    Args:
        loss: Of one.
        order: (B,) number of the other sample that lies in each.
        weight: Share of the first one, 0..1.
    """

    def __init__(self, loss: nn.Module, order: Tensor, weight: float) -> None:
        super().__init__()
        self._loss, self._order, self._weight = loss, order, weight

    def forward(self, outputs: Tensor, target: Tensor, x: Tensor) -> Loss:
        """Both losses, each with its share."""
        first, other = self._loss(outputs, target, x), self._loss(outputs, target[self._order], x)
        return Loss(self._weight * first.total + (1 - self._weight) * other.total, {})


def mix(
    x: Tensor, loss: nn.Module, share: float, rng: np.random.Generator
) -> tuple[Tensor, nn.Module]:
    """Lay every sample of a batch over another one.

    Args:
        x: (B, ...).
        loss: Of the batch as it is.
        share: Chance that the batch is mixed at all, 0..1.
        rng: Source of randomness.

    Returns:
        The batch and its loss.
    """
    if rng.random() >= share:
        return x, loss
    weight, order = float(rng.random()), torch.from_numpy(rng.permutation(len(x)))
    return weight * x + (1 - weight) * x[order.to(x.device)], Mixed(loss, order, weight)
