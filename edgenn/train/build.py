"""From a recipe to a network: family, size and options, by name."""

from __future__ import annotations

from dataclasses import asdict, fields
from types import ModuleType

from pydantic import TypeAdapter, ValidationError
from torch import nn

from edgenn import nets, plugins
from edgenn.bundle.manifest import Decode, ImageInput, WindowInput
from edgenn.errors import ModelError, RecipeError, UnknownNameError
from edgenn.nets import NetSpec
from edgenn.ops import decode as decoders
from edgenn.recipe.schema import Net, Recipe


def build_net(net: Net, spec: NetSpec) -> nn.Module:
    """Make the network that a recipe asks for, with fresh weights.

    Args:
        net: The recipe's section.
        spec: What the data fixes.

    Raises:
        UnknownNameError: No such family or size.
        RecipeError: Options that the family does not have, or of wrong values.
        UsageError: The family cannot be built for this data.
    """
    module: nn.Module = family(net).build(config(net), spec)
    return module


def family(net: Net) -> ModuleType:
    """The plug-in of the recipe's family; see `edgenn.nets`.

    Raises:
        UnknownNameError: No such family.
    """
    return plugins.load(nets, net.family)


def config(net: Net) -> object:
    """The numbers of the recipe's size, with its options in their place.

    Raises:
        UnknownNameError: No such size.
        RecipeError: An option that the family does not have, or a wrong value.
    """
    sizes = family(net).SIZES
    if net.size not in sizes:
        raise UnknownNameError(
            f"net.size: {net.family} has no size {net.size!r}"
            f"{plugins.suggestion(net.size, list(sizes))}"
        )
    base = sizes[net.size]
    known = [f.name for f in fields(base)]
    for key in net.options:
        if key not in known:
            raise RecipeError(
                f"net.options.{key}: {net.family} has no such option"
                f"{plugins.suggestion(key, known)}"
            )
    try:
        numbers: object = TypeAdapter(type(base)).validate_python({**asdict(base), **net.options})
    except ValidationError as error:
        faults = [f"net.options.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError("; ".join(faults)) from error
    return numbers


def check(recipe: Recipe) -> None:
    """Refuse a family of another task, and what its decoder does not know.

    Raises:
        RecipeError: Says which families fit, or which parameter does not.
    """
    wanted = family(recipe.net).TASK
    if wanted != recipe.task:
        fits = [n for n in plugins.names(nets) if recipe.task == plugins.load(nets, n).TASK]
        raise RecipeError(
            f"net.family {recipe.net.family} is for task {wanted}, but the recipe's task is "
            f"{recipe.task}; use {' or '.join(fits)}"
        )
    made = decode(recipe)
    size = None if recipe.task == "sequence" else recipe.input.size
    try:
        plugins.load(decoders, made.name).build(made.params, (), size)
    except ModelError as error:
        raise RecipeError(f"decode: {error}") from error


def decode(recipe: Recipe) -> Decode:
    """The decoder of a recipe's network; the recipe's defaults win over the family's."""
    module = family(recipe.net)
    fixed = module.decode_params(config(recipe.net))
    return Decode(name=module.DECODER, params={**fixed, **recipe.decode})


def net_spec(spec: ImageInput | WindowInput, labels: tuple[str, ...]) -> NetSpec:
    """What a net must know of its input and labels."""
    if spec.kind == "image":
        return NetSpec(len(labels), size=spec.size)
    return NetSpec(len(labels), window=spec.length, channels=len(spec.channels))
