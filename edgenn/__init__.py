"""edgenn: train, quantise, verify and run compact neural networks on small devices."""

from __future__ import annotations

import typing

from edgenn.errors import EdgennError

if typing.TYPE_CHECKING:
    from edgenn.runtime.model import Model, load
    from edgenn.runtime.pipeline import Pipeline
    from edgenn.types import Classification, Detections, Event, Frame, Result, Samples, Window
else:
    # Imported at first use: `edgenn doctor` has to start where NumPy or OpenCV does not.
    def __getattr__(name: str) -> object:
        import importlib

        homes = {"Model": "runtime.model", "load": "runtime.model", "Pipeline": "runtime.pipeline"}
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"edgenn.{homes.get(name, 'types')}"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


__version__ = "0.1.0"

__all__ = [
    "Classification",
    "Detections",
    "EdgennError",
    "Event",
    "Frame",
    "Model",
    "Pipeline",
    "Result",
    "Samples",
    "Window",
    "load",
]
