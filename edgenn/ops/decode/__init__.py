"""Output layouts: from a net's tensors to the types, one file per layout.

Every file has one function::

    build(params: Mapping[str, object], labels: tuple[str, ...],
          size: tuple[int, int] | None) -> Decoder

``size`` is the net's input height and width for pictures, None for windows.
A decoder is one callable and no more, because all that differs between
detectors is how a handful of arrays turn into boxes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from edgenn.ops.preprocess import Geometry
from edgenn.types import Floats, Prediction


class Decoder(Protocol):
    """Turns the raw outputs of one inference into a prediction."""

    def __call__(self, outputs: Mapping[str, Floats], geometry: Geometry | None) -> Prediction:
        """Decode one inference.

        Args:
            outputs: Tensors by the names of the manifest, batch of 1, float32.
            geometry: Maps net pixels to frame pixels; None for windows.
        """
        ...
