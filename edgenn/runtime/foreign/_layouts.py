"""Asking the layouts which of them a foreign file has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgenn import plugins
from edgenn.errors import ModelError, UsageError
from edgenn.ops import decode
from edgenn.ops.decode import Foreign, Match
from edgenn.types import Floats

# Tensors that a message lists, and cells of a side from which on a tensor is a map.
_SHOWN, _MAP = 6, 4


def _with_values(
    name: str, match: Match, samples: Sequence[Mapping[str, Floats]], size: tuple[int, int]
) -> Match | None:
    """The same, as sure as the values leave it or make it; None where nothing speaks for it."""
    plugin = plugins.load(decode, name)
    named = renamed(match, samples)
    if hasattr(plugin, "fits") and not plugin.fits(match, named):
        why = f"{match.why}, though its values speak against it"
        return replace(match, sure=False, why=why) if match.sure else None
    sure = match.sure or (hasattr(plugin, "shows") and bool(plugin.shows(match, named, size)))
    return replace(match, sure=sure)


def renamed(match: Match, samples: Sequence[Mapping[str, Floats]]) -> list[dict[str, Floats]]:
    """Outputs of a few pictures by the layout's names."""
    return [{k: sample[v] for k, v in match.outputs.items()} for sample in samples]


def choose_layout(
    file: Foreign, wanted: str, path: Path, samples: Sequence[Mapping[str, Floats]]
) -> tuple[str, Match]:
    """The layout that the user named, or the only one that is sure.

    Args:
        file: What the file says of itself.
        wanted: The user's choice; empty: none.
        path: Of the file, for messages.
        samples: Outputs of a few noise pictures by their names in the file.

    Raises:
        ModelError: None fits.
        UsageError: Several may fit and ``--as`` has to say which, or it names one that does not.
    """
    if wanted:
        plugin = plugins.load(decode, wanted)
        found = plugin.recognise(file) if hasattr(plugin, "recognise") else None
        if found is None:
            raise UsageError(f"--as {wanted} does not fit {path}: it gives {shown(file.outputs)}")
        return wanted, replace(found, why=f"{found.why}; as asked for")
    found_all: dict[str, Match] = {}
    for name in plugins.names(decode):
        plugin = plugins.load(decode, name)
        match = plugin.recognise(file) if hasattr(plugin, "recognise") else None
        match = None if match is None else _with_values(name, match, samples, file.size)
        if match is not None:
            found_all[name] = match
    sure = {name: match for name, match in found_all.items() if match.sure}
    if len(sure) == 1:
        return next(iter(sure.items()))
    if not found_all:
        raise ModelError(f"{path} gives {shown(file.outputs)}: {_hint(file)}")
    if len(found_all) == 1:
        ((name, match),) = found_all.items()
        raise UsageError(f"{path}: give --as {name} if this is right: {match.why}")
    choices = "; ".join(f"--as {name} ({match.why})" for name, match in (sure or found_all).items())
    raise UsageError(f"{path}: say how its outputs are to be read: {choices}")


def _hint(file: Foreign) -> str:
    """What such files are for, where edgenn has nothing that reads them."""
    if file.metadata.get("task") == "obb":
        return "turned boxes are not read, only upright ones"
    shapes = list(file.outputs.values())
    if any(file.size in (shape[1:3], shape[2:]) for shape in shapes):
        return "a value for each pixel, as segmentation or depth gives, is not read"
    if any(len([n for n in shape[1:] if n >= _MAP]) > 1 and len(shape) > 3 for shape in shapes):
        return (
            "maps of masks or key points, or heads of a detector before decoding, are not read; "
            "export a detector with its last layer"
        )
    known = [n for n in plugins.names(decode) if hasattr(plugins.load(decode, n), "recognise")]
    return f"no known layout has such outputs ({', '.join(known)})"


def shown(tensors: Mapping[str, tuple[int, ...]]) -> str:
    """Names and shapes for the user to read; only the first of many."""
    listed = [f"{name!r} {shape}" for name, shape in tensors.items()]
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "") or "nothing"
