"""Decoded samples that stay in memory, as many as fit."""

from __future__ import annotations

import logging
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from edgenn.bundle.manifest import ImageInput
from edgenn.ops.preprocess import ImagePreprocessor

T = TypeVar("T")
_log = logging.getLogger(__name__)

# Decoded samples of one feed stay in memory up to so many bytes.
CACHE_BYTES = 1 << 30


class Kept(Generic[T]):
    """Samples that are decoded once; pickling leaves what is kept behind.

    A subclass has ``__len__``, and says how a sample is decoded and how large it is.

    Args:
        spec: What the net takes.
        what: Names the samples in the log: "training pictures".
    """

    def __init__(self, spec: ImageInput, what: str) -> None:
        self._spec, self._what = spec, what
        self._restart()

    def __len__(self) -> int:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_kept", "_prepare")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._restart()

    def preload(self) -> None:
        """Decode samples until all are in memory, or as many as may be."""
        used = 0
        pool = ThreadPoolExecutor(os.cpu_count())
        try:
            for i, sample in enumerate(pool.map(self._decode, range(len(self)))):
                if used + self._bytes(sample) > CACHE_BYTES:
                    break
                used += self._bytes(sample)
                self._kept[i] = sample
        finally:
            pool.shutdown(cancel_futures=True)
        size = f"{used / 1e6:.0f} MB"
        _log.info(
            "%d of %d %s are kept in memory (%s)", len(self._kept), len(self), self._what, size
        )

    def _decoded(self, i: int) -> T:
        """Sample ``i``, from memory where it is there."""
        return self._kept[i] if i in self._kept else self._decode(i)

    def _decode(self, i: int) -> T:
        raise NotImplementedError

    def _bytes(self, sample: T) -> int:
        raise NotImplementedError

    def _restart(self) -> None:
        # Its buffers are views of each other, which pickling would tear apart.
        self._prepare = ImagePreprocessor(self._spec.steps, self._spec.color, "nchw")
        self._kept: dict[int, T] = {}
