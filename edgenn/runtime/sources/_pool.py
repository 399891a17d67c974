"""Buffers for frames, each used again as soon as nobody holds it any more.

A frame that somebody keeps is never changed: whether one is free is asked of Python's
reference counts. A view counts too, because it refers to the array that owns the memory.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

# More than a run has under way: newest frame, inference, outputs with short queues.
_MOST = 16


class Pool:
    """Gives out buffers; for one thread at a time.

    Args:
        most: Buffers to remember. Where all are held the oldest is left to its holders.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._owners: list[NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        """A buffer of this shape, uint8 and contiguous, with whatever was in it before."""
        owners = self._owners
        if owners and owners[0].shape != shape:
            owners.clear()
        for i in range(len(owners)):
            if sys.getrefcount(owners[i]) == _FREE:
                break
        else:
            i = len(owners)
            owners.append(np.empty(shape, np.uint8))
            if i >= self._most:
                del owners[0]
                i -= 1
        # A view, so that the count of its owner tells of all who hold it, and of nobody here.
        return owners[i][...]


def _count_of_free() -> int:
    """What `Pool.take` counts for a buffer that nobody holds; it differs between Pythons."""
    owners = [np.empty(1, np.uint8)]
    i = 0
    return sys.getrefcount(owners[i])


_FREE = _count_of_free()
