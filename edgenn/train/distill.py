"""Learning from a teacher: its features as hints, its activation as a start.

Hints: FitNets, Romero et al. 2015 (https://arxiv.org/abs/1412.6550).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgenn.errors import RecipeError
from edgenn.nets import NetSpec
from edgenn.nets._activation import Blend
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Distill
from edgenn.train import build
from edgenn.train.losses import Loss
from edgenn.train.weights import load_weights


class Teacher:
    """A frozen network that another one is to resemble.

    Args:
        settings: The recipe's section.
        net: The network that learns.
        spec: What the data fixes.
        device: Where the teacher is to work.

    Raises:
        RecipeError: The family names no hints, or the two networks differ in width.
        UsageError: They are of different families.
        ModelError: The teacher's weights cannot be used.
    """

    def __init__(
        self, settings: Distill, net: nn.Module, spec: NetSpec, device: torch.device
    ) -> None:
        self._settings = settings
        # Its fresh weights must not move the randomness of the training.
        with torch.random.fork_rng(devices=[]):
            self.net = build.build_net(settings.net, spec)
        load_weights(self.net, expand(settings.net.weights, "train.distill.net.weights"))
        self.net.eval().requires_grad_(False).to(device)
        pairs = [_hints(settings, n) for n in (net, self.net)]
        widths = [[m.num_features for m in modules] for modules in pairs]
        if widths[0] != widths[1]:
            raise RecipeError(
                "train.distill.net: teacher and net must have the same widths; "
                "choose one size for both"
            )
        self._own, self._given = (_Heard(modules) for modules in pairs)
        self._blends = [m for m in net.modules() if isinstance(m, Blend)]
        theirs = [m for m in self.net.modules() if isinstance(m, Blend)]
        for blend, other in zip(self._blends, theirs, strict=True):
            blend.before = other.name

    def advance(self, position: float) -> None:
        """Set the activations of the net for a position in the training, 0..1."""
        swap = self._settings.swap
        share = min(1.0, position / swap) if swap else 1.0
        for blend in self._blends:
            blend.share = share

    def add(self, loss: Loss, x: Tensor) -> Loss:
        """Add what the net's features of the same ``x``, just computed, lack.

        The squared error of each hint, in units of the teacher's variance, so that
        all weigh alike.
        """
        with torch.no_grad():
            self.net(x)
        errors = [
            functional.mse_loss(own.float(), given) / given.var().clamp(min=1e-6)
            for own, given in zip(self._own.values(), self._given.values(), strict=True)
        ]
        hint = torch.stack(errors).mean()
        total = loss.total + self._settings.weight * hint
        return Loss(total, {**loss.parts, "hint": hint.detach()})


class _Heard:
    """Outputs of modules, as of their last call."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._outputs: dict[int, Tensor] = {}
        self._count = len(modules)
        for i, module in enumerate(modules):
            module.register_forward_hook(self._listener(i))

    def _listener(self, i: int) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def listen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            del module, inputs
            self._outputs[i] = output

        return listen

    def values(self) -> list[Tensor]:
        """One per module, in their order."""
        return [self._outputs[i] for i in range(self._count)]


def _hints(settings: Distill, net: nn.Module) -> list[nn.BatchNorm2d]:
    family = build.family(settings.net)
    if not hasattr(family, "hints"):
        raise RecipeError(
            f"train.distill.net.family: {settings.net.family} names no hints to learn from; use csp"
        )
    found: list[nn.BatchNorm2d] = family.hints(net)
    return found
