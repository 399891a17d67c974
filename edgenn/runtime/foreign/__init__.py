"""Models that edgenn did not write: what they are, from what the file says.

Every layout of ``ops/decode`` that has ``recognise`` is asked; nothing is listed here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

from edgenn import plugins
from edgenn.bundle.manifest import EngineName
from edgenn.errors import UsageError
from edgenn.runtime import engines
from edgenn.runtime.engines._providers import Provider
from edgenn.runtime.foreign._build import Described, describe
from edgenn.runtime.foreign._file import is_foreign
from edgenn.runtime.foreign._wishes import Wishes
from edgenn.runtime.model import Model, load

_log = logging.getLogger(__name__)

__all__ = ["Described", "Wishes", "describe", "is_foreign", "load_any", "load_foreign"]


def load_any(
    path: str | Path,
    labels: tuple[str, ...] = (),
    *,
    wishes: Wishes | None = None,
    **place: Any,  # noqa: ANN401  load's own
) -> Model:
    """Load a model that edgenn wrote, or a foreign ONNX or TFLite file.

    Args:
        path: As for `edgenn.load`.
        labels: Class names of a foreign model; None given: the file's, or a known list.
        wishes: What the user says of a foreign file.
        place: Engine, threads, thresholds and provider, as `edgenn.load` takes them.

    Raises:
        ModelError: Missing, damaged, or of a layout that is not known.
        UsageError: The file leaves open what a flag must say.
    """
    if not is_foreign(Path(path)):
        return load(path, **place)
    wishes = wishes or Wishes()
    return load_foreign(Path(path), wishes.with_labels(labels) if labels else wishes, **place)


def load_foreign(
    path: Path,
    wishes: Wishes,
    *,
    engine: EngineName | Literal["auto"] = "auto",
    threads: int = 0,
    provider: Provider = "auto",
    **more: Any,  # noqa: ANN401  load's own
) -> Model:
    """Load a foreign file; what is inferred of it is logged line by line.

    Args:
        path: A file that `is_foreign`.
        wishes: What the user says of it.
        engine: Engine to run it with.
        threads: Worker threads of the engine; 0 lets it choose.
        provider: Where ONNX Runtime computes.
        more: The other arguments of `edgenn.load`, but for the precision.

    Raises:
        ModelError: Damaged, or of a layout that is not known.
        UsageError: The file leaves open what a flag must say.
    """
    found = describe(path, wishes, threads)
    (variant,) = found.manifest.variants
    if engine not in ("auto", variant.engine):
        raise UsageError(f"{path} runs on the {variant.engine} engine, not on {engine}")
    for reason in found.reasons:
        _log.info("%s", reason)
    plugin = plugins.load(engines, variant.engine)
    # It was tried on the processor; a GPU needs a session of its own.
    gpu = provider not in ("auto", "cpu") or (provider == "auto" and plugin.has_gpu())
    more |= {"threads": threads, "provider": provider, "engine": None if gpu else found.engine}
    return Model(found.manifest, variant, found.data, **more)
