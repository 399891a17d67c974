"""Gestures of a stream as a sequence of labels, without their times."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenn.ops.ctc import best_path
from edgenn.types import Steps


def gestures(class_ids: NDArray[np.int64], blank: int) -> NDArray[np.int64]:
    """The classes of the gestures of a stretch, in order.

    Every run of one class with a reading that is asked for counts as one gesture.

    Args:
        class_ids: (T,), -1 where nothing is asked.
        blank: Class of the background.
    """
    runs = class_ids[np.flatnonzero(np.diff(class_ids, prepend=-2))]
    return np.asarray(runs[(runs >= 0) & (runs != blank)])


def said(steps: Steps, blank: int) -> NDArray[np.int64]:
    """The classes of the gestures that a net with a CTC loss found: those of the best path."""
    log_probs = np.log(np.maximum(steps.scores, 1e-30))
    return np.array([span.class_id for span in best_path(log_probs, blank)], np.int64)


def edits(wanted: Sequence[int], given: Sequence[int]) -> int:
    """Fewest insertions, deletions and replacements that make one sequence of the other.

    Levenshtein 1966.
    """
    row = list(range(len(given) + 1))
    for i, a in enumerate(wanted, start=1):
        before, row = row, [i]
        for j, b in enumerate(given, start=1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
    return row[-1]
