"""Which layout a foreign file has, as far as its shapes, names and metadata tell."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from edgenn import plugins
from edgenn.errors import ModelError, UsageError
from edgenn.ops import decode
from edgenn.ops.decode import Foreign, Match

# Several layouts fit the same shapes; of these the one that is far more common goes first.
_Found = dict[str, Match]


def choose(path: str, file: Foreign, wanted: str) -> tuple[str, Match]:
    """The layout's name, and how it reads the file.

    Args:
        path: What to call the file in an error.
        file: What it says of itself.
        wanted: The layout that the user named, or nothing.

    Raises:
        UsageError: Several fit, or the one that was named does not.
        ModelError: None fits.
    """
    found = {name: match for name, plugin in _layouts() if (match := plugin.recognise(file))}
    if wanted:
        return _named(path, file, wanted, found)
    sure = {name: match for name, match in found.items() if match.sure}
    if len(sure) == 1:
        return next(iter(sure.items()))
    candidates = sure or found
    if len(candidates) == 1 and not sure:
        (name, match), *_ = candidates.items()
        raise UsageError(
            f"{path} may be of the layout {name} ({match.why}); say --as {name} if it is, and "
            "--labels to name its classes"
        )
    if candidates:
        fits = "; ".join(f"{name} ({match.why})" for name, match in candidates.items())
        raise UsageError(f"{path} fits several layouts, name one with --as: {fits}")
    raise ModelError(
        f"{path} gives {_text(file.outputs)}, which no known layout does; there are "
        f"{', '.join(name for name, _ in _layouts())}"
    )


def _named(path: str, file: Foreign, wanted: str, found: Mapping[str, Match]) -> tuple[str, Match]:
    known = [name for name, _ in _layouts()]
    if wanted not in known:
        raise UsageError(f"--as: no layout is called {wanted!r}{plugins.suggestion(wanted, known)}")
    if wanted not in found:
        raise UsageError(
            f"{path} gives {_text(file.outputs)}, which does not fit the layout {wanted} of a "
            f"{file.size[0]}x{file.size[1]} input"
        )
    return wanted, found[wanted]


def _layouts() -> list[tuple[str, ModuleType]]:
    """Layouts that foreign files have."""
    loaded = [(name, plugins.load(decode, name)) for name in plugins.names(decode)]
    return [(name, plugin) for name, plugin in loaded if hasattr(plugin, "recognise")]


def _text(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in list(shapes.items())[:12])
