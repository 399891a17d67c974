"""What a pipeline makes of its arguments, and what it refuses."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgenn import plugins
from edgenn.errors import UsageError
from edgenn.runtime import temporal
from edgenn.runtime.feed import refuse_other_input
from edgenn.runtime.model import Model, load
from edgenn.runtime.sinks import Sink


def own(model: Model | str | Path) -> Model:
    """A model that no other thread uses."""
    return (model if isinstance(model, Model) else load(model)).twin()


def refuse_numbers(numbers: Mapping[str, float | None]) -> None:
    """Make sure that what limits a run is a number above 0; None is no limit.

    Raises:
        UsageError: Names the first that is not.
    """
    for name, number in numbers.items():
        if number is not None and not 0 < number < math.inf:
            raise UsageError(f"{name} must be a finite number above 0, not {number}")


def build_stages(model: Model, more: Mapping[str, Mapping[str, object]]) -> list[temporal.Stage]:
    """The temporal stages that a model's manifest names, and more after them."""
    wanted: dict[str, Mapping[str, object]] = {**model.manifest.temporal}
    # The objects of a chain are followed as they are found.
    wanted |= {n: p for n, p in more.items() if n != "track" or model.manifest.chain is None}
    return [plugins.load(temporal, n).build(p, model.labels) for n, p in wanted.items()]


def smaller(model: Model, fallback: Model | str | Path) -> Model:
    """The smaller model, which must mean the same by its labels."""
    other = own(fallback)
    refuse_other_input(model, other)
    if other.labels != model.labels:
        raise UsageError(
            f"{other.manifest.name} cannot take the place of {model.manifest.name}: its labels "
            "are others"
        )
    return other


def refuse_for_streams(model: Model, wishes: list[str]) -> None:
    """Make sure that a model of single pictures runs, where wishes are only for these.

    Raises:
        UsageError: Names the first wish.
    """
    spec = model.manifest.input
    if wishes and (spec.kind != "image" or model.manifest.rate):
        raise UsageError(
            f"--{wishes[0].replace('_', '-')} is for models of single pictures; "
            f"{model.manifest.name} follows a stream"
        )


def close_together(sinks: Sequence[Sink]) -> None:
    """Close all; those with a queue at the same time, as each may take its seconds to drain it.

    Raises:
        Exception: What the first of those that failed raised; all are closed.
    """
    errors: list[Exception] = []

    def close(sink: Sink) -> None:
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001  it is raised below
            errors.append(error)

    queued = [
        threading.Thread(target=close, args=(sink,), name="edgenn closes")
        for sink in sinks
        if hasattr(sink, "queue")
    ]
    for thread in queued:
        thread.start()
    for sink in sinks:
        # A window belongs to the thread of its user.
        if not hasattr(sink, "queue"):
            close(sink)
    for thread in queued:
        thread.join()
    if errors:
        raise errors[0]
