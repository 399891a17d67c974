"""Starting from weights that exist: an earlier run, or a backbone trained on ImageNet."""

from __future__ import annotations

import pickle
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgenn.bundle.store import refuse_impostor
from edgenn.errors import ModelError, RecipeError
from edgenn.train import checkpoint


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of loading.

    Attributes:
        names: Tensors of the network that were loaded.
        skipped: Tensors of the file that the network has with another shape.
        total: Tensors in the file.
    """

    names: frozenset[str]
    skipped: tuple[str, ...]
    total: int

    def __str__(self) -> str:
        text = f"{len(self.names)} of {self.total} tensors fit the network"
        if self.skipped:
            text += f"; other shapes, left as they are: {', '.join(self.skipped)}"
        return text


def load_weights(net: nn.Module, path: Path) -> Loaded:
    """Copy all weights that fit by name and shape into ``net``.

    Args:
        net: The network.
        path: A checkpoint of any earlier run (.safetensors), or a state
            dictionary of torch (.pth, .pt) with the keys of the network or of its
            backbone (``features.N...``). The latter is read without running any code of it.
            Where the network's first convolution takes more than the three colours, the
            weights of the rest begin at zero.

    Raises:
        ModelError: Missing, unreadable, or nothing of it fits.
    """
    own = net.state_dict()
    if path.suffix == ".safetensors":
        _, tensors = checkpoint.read(path)
        given = checkpoint.under(checkpoint.MODEL, tensors)
    else:
        given = _state_dict(path)
        if not own.keys() & given.keys():
            given = checkpoint.prefixed("backbone.", given)
    given = {n: _widened(t, own[n]) if n in own else t for n, t in given.items()}
    fitting = {n: t for n, t in given.items() if n in own and own[n].shape == t.shape}
    if not any(t.ndim > 1 for t in fitting.values()):
        raise ModelError(
            f"net.weights: no weight of {path} fits this network by name and shape; "
            "use the family and size that the file was made for"
        )
    net.load_state_dict(fitting, strict=False)
    other = tuple(n for n in given if n in own and n not in fitting)
    return Loaded(frozenset(fitting), other, len(given))


def _widened(given: Tensor, own: Tensor) -> Tensor:
    """Weights of a first convolution for as many inputs as ``own`` has, colours first."""
    if given.ndim != 4 or own.ndim != 4 or given.shape[1] != 3 or own.shape[1] <= 3:
        return given
    rest = own.shape[1] - 3
    return torch.cat([given, given.new_zeros(given.shape[0], rest, *given.shape[2:])], 1)


def freeze(net: nn.Module, parts: Sequence[str]) -> frozenset[str]:
    """Let parts of a network learn nothing.

    Args:
        net: The network.
        parts: Beginnings of names, up to a dot.

    Returns:
        Names of their tensors.

    Raises:
        RecipeError: The network has no such part.
    """
    names = net.state_dict().keys()
    held: set[str] = set()
    for part in parts:
        found = {name for name in names if f"{name}.".startswith(f"{part}.")}
        if not found:
            known = sorted({name for name, _ in net.named_children()})
            raise RecipeError(
                f"train.freeze: the net has no part {part!r}; its parts are {', '.join(known)}, "
                "and what is in them, as backbone.stages.0"
            )
        held |= found
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name not in held)
    if held and not any(parameter.requires_grad for parameter in net.parameters()):
        raise RecipeError("train.freeze: nothing is left to learn")
    return frozenset(held)


def freeze_norms(net: nn.Module, held: Collection[str]) -> None:
    """Let some normalisations use the statistics that they have, in training too.

    To be called whenever ``net.train()`` was.

    Args:
        net: The network.
        held: Names of tensors; normalisations whose statistics are among them.
    """
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d) and f"{name}.running_mean" in held:
            module.eval()


def _state_dict(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"net.weights: there is no file at {path}")
    with path.open("rb") as file:
        refuse_impostor(file.read(512), str(path))
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError) as error:
        raise ModelError(f"net.weights: {path} is not a plain file of torch weights") from error
    if not isinstance(values, dict) or not all(isinstance(v, Tensor) for v in values.values()):
        raise ModelError(f"net.weights: {path} holds more than named tensors; it is refused")
    return values
