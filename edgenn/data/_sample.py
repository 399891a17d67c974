"""What a feed gives out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One input with its truth.

    Attributes:
        x: float32, (3, H, W), (T, C) or (T, 3, H, W), normalised.
        class_ids: (N,) int64, one per box; exactly one for classifiers; for sequences (T,),
            what is to be known after each reading, -1 where nothing is asked.
        boxes: (N, 4) float32 x1 y1 x2 y2 in net pixels; (0, 4) for classifiers.
        index: Number of the sample in its feed.
    """

    x: Floats
    class_ids: NDArray[np.int64]
    boxes: Floats
    index: int
