"""Optimiser, learning rate and averaged weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Iterable

import torch
from torch import Tensor, nn

from edgenn.recipe.schema import Train
from edgenn.train.muon import Muon


def make_optimizer(
    net: nn.Module, train: Train, pretrained: Collection[str]
) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019) or Muon, decaying only weights of two axes or more.

    Args:
        net: The network.
        train: The recipe's section.
        pretrained: Names of parameters that were loaded; ``backbone_lr`` scales their rate,
            and ``layer_decay`` that of each block before the last of them.
    """
    learning = [(n, p) for n, p in net.named_parameters() if p.requires_grad]
    depths = _depths([name for name, _ in learning if name in pretrained])
    groups: dict[tuple[float, bool, bool], list[Tensor]] = {}
    for name, parameter in learning:
        factor = 1.0
        if name in pretrained:
            factor = train.backbone_lr * train.layer_decay ** depths[_block(name)]
        turns = train.optimizer == "muon" and _is_dense(parameter)
        groups.setdefault((factor, parameter.ndim > 1, turns), []).append(parameter)
    described = [
        {
            "params": parameters,
            "lr": train.lr,
            "factor": factor,
            "weight_decay": train.weight_decay if decays else 0.0,
            **({"muon": turns} if train.optimizer == "muon" else {}),
        }
        for (factor, decays, turns), parameters in groups.items()
    ]
    return Muon(described) if train.optimizer == "muon" else torch.optim.AdamW(described)


def _is_dense(parameter: Tensor) -> bool:
    """Whether it is a matrix, or a kernel over several channels: depthwise kernels are neither."""
    return parameter.ndim > 1 and min(parameter.shape[:2]) > 1


def _block(name: str) -> str:
    """The part of a net that a parameter is in: ``backbone.features.7``, ``pyramid.join``."""
    path = name.split(".")[:-1]
    numbered = len(path) > 3 and path[2].isdigit()
    return ".".join(path[: 3 if numbered else 2])


def _depths(names: Iterable[str]) -> dict[str, int]:
    """How many blocks follow each block."""
    blocks = list(dict.fromkeys(map(_block, names)))
    return {block: len(blocks) - 1 - i for i, block in enumerate(blocks)}


def rate(train: Train, step: int, total: int) -> float:
    """Learning rate of a step: linear warm-up, then a half cosine down to a hundredth.

    Loshchilov and Hutter 2017 (https://arxiv.org/abs/1608.03983). A function of
    the step alone, so that a resumed run needs no state for it.
    """
    warm = int(train.warmup * total)
    if step < warm:
        return train.lr * (step + 1) / (warm + 1)
    share = (step - warm) / max(1, total - warm)
    return train.lr * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def set_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["factor"]


class Average:
    """Exponential moving average of weights and statistics.

    The decay starts low and rises, min(decay, (1 + t) / (10 + t)), so that a
    short training does not average over its random start.

    Attributes:
        net: The averaged network, in eval mode.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        new = net.state_dict()
        for name, value in self.net.state_dict().items():
            if value.is_floating_point():
                value.lerp_(new[name], 1 - decay)
            else:
                value.copy_(new[name])
