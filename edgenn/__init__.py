"""edgenn: train, quantise, verify and run compact neural networks on small devices."""

from __future__ import annotations

from edgenn.errors import EdgennError
from edgenn.runtime.model import Model, load
from edgenn.runtime.pipeline import Pipeline
from edgenn.types import Classification, Detections, Event, Frame, Result, Samples, Window

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
