"""Models that edgenn did not write: what they are, from what the file says.

Every layout of ``ops/decode`` that has ``recognise`` is asked; nothing is listed here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

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

__all__ = ["Described", "Wishes", "describe", "is_foreign", "load_any"]


def load_any(
    path: str | Path,
    labels: tuple[str, ...] = (),
    *,
    engine: EngineName | Literal["auto"] = "auto",
    threads: int = 0,
    conf: float | None = None,
    iou: float | None = None,
    provider: Provider = "auto",
    half: bool = False,
    wishes: Wishes | None = None,
) -> Model:
    """Load a model that edgenn wrote, or a foreign ONNX or TFLite file.

    What is inferred of a foreign file is logged line by line.

    Args:
        path: As for `edgenn.load`.
        labels: Class names of a foreign model; None given: the file's, or a known list.
        engine: Engine to run it with.
        threads: Worker threads of the engine; 0 lets it choose.
        conf: Confidence threshold, 0..1; None keeps the model's own.
        iou: Overlap threshold, 0..1; None keeps the model's own.
        provider: Where ONNX Runtime computes; see `edgenn.load`.
        half: TensorRT may compute in fp16.
        wishes: What the user says of a foreign file.

    Raises:
        ModelError: Missing, damaged, or of a layout that is not known.
        UsageError: The file leaves open what a flag must say.
    """
    file = Path(path)
    if not is_foreign(file):
        return load(
            path,
            engine=engine,
            threads=threads,
            conf=conf,
            iou=iou,
            provider=provider,
            half=half,
        )
    wishes = wishes or Wishes()
    if labels:
        wishes = wishes.with_labels(labels)
    found = describe(file, wishes, threads)
    (variant,) = found.manifest.variants
    if engine not in ("auto", variant.engine):
        raise UsageError(f"{path} runs on the {variant.engine} engine, not on {engine}")
    for reason in found.reasons:
        _log.info("%s", reason)
    plugin = plugins.load(engines, variant.engine)
    # It was tried on the processor; a GPU needs a session of its own.
    gpu = provider not in ("auto", "cpu") or (provider == "auto" and plugin.has_gpu())
    return Model(
        found.manifest,
        variant,
        found.data,
        threads=threads,
        conf=conf,
        iou=iou,
        provider=provider,
        half=half,
        engine=None if gpu else found.engine,
    )
