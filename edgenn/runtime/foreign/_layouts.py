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


def _fits(name: str, match: Match, samples: Sequence[Mapping[str, Floats]]) -> bool:
    """Whether the values may be of this layout too; one that cannot tell may always be."""
    plugin = plugins.load(decode, name)
    named = [{k: sample[v] for k, v in match.outputs.items()} for sample in samples]
    return not hasattr(plugin, "fits") or bool(plugin.fits(match, named))


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
            raise UsageError(f"--as {wanted} does not fit {path}: it gives {dict(file.outputs)}")
        return wanted, replace(found, why=f"{found.why}; as asked for")
    found_all: dict[str, Match] = {}
    for name in plugins.names(decode):
        plugin = plugins.load(decode, name)
        match = plugin.recognise(file) if hasattr(plugin, "recognise") else None
        if match is not None:
            found_all[name] = match
    sure = {name: match for name, match in found_all.items() if match.sure}
    if len(sure) > 1:
        sure = {n: m for n, m in sure.items() if _fits(n, m, samples)} or sure
    if len(sure) == 1:
        return next(iter(sure.items()))
    if not found_all:
        known = [n for n in plugins.names(decode) if hasattr(plugins.load(decode, n), "recognise")]
        raise ModelError(
            f"{path}: takes {dict(file.inputs)} and gives {dict(file.outputs)}, which no known "
            f"layout does ({', '.join(known)}){_hint(file)}"
        )
    choices = "; ".join(f"--as {name} ({match.why})" for name, match in (sure or found_all).items())
    raise UsageError(f"{path}: say how its outputs are to be read: {choices}")


def _hint(file: Foreign) -> str:
    """What such files are for, where edgenn has nothing that reads them."""
    if any(file.size in (shape[1:3], shape[2:]) for shape in file.outputs.values()):
        return "; a value for each pixel, as segmentation or depth gives, is not read"
    return ""
