"""Batches in an order that depends on seed and epoch alone.

Not on the number of worker processes, and not on where a resumed run begins.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from edgenn.data.feed import Feed, Sample, collate
from edgenn.errors import DataError
from edgenn.train.losses import Boxes


class Epochs(Dataset[Sample]):
    """A feed whose index carries the epoch, so that it reaches workers that live on."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._epoch = -1

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Sample of (epoch, index)."""
        epoch, index = key
        if epoch != self._epoch:
            self._feed.set_epoch(epoch)
            self._epoch = epoch
        return self._feed[index]


class Batches(Sampler[list[tuple[int, int]]]):
    """Shuffled batches of (epoch, index), shared out to processes.

    The last samples that do not fill a batch are left out: another few in every
    epoch. A set smaller than one batch is one batch.

    Args:
        samples: How many there are.
        batch: Samples per batch and process.
        seed: Of the order.
        rank: Number of this process.
        processes: How many processes share the samples.

    Attributes:
        epoch: Epoch to give out next.
        skip: Batches of it to leave out at its beginning.
    """

    def __init__(
        self, samples: int, batch: int, seed: int, rank: int = 0, processes: int = 1
    ) -> None:
        if samples < 2 * processes:
            raise DataError(f"{samples} training samples are too few for {processes} process(es)")
        self._samples = samples
        self._batch = min(batch, samples // processes)
        self._seed, self._rank, self._processes = seed, rank, processes
        self.epoch = self.skip = 0

    def __len__(self) -> int:
        """Batches per epoch and process."""
        return self._samples // (self._batch * self._processes)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        """Batches of the epoch, after those to skip."""
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + self.epoch)
        order = torch.randperm(self._samples, generator=generator).tolist()
        for number in range(self.skip, len(self)):
            start = (number * self._processes + self._rank) * self._batch
            yield [(self.epoch, i) for i in order[start : start + self._batch]]


def train_loader(
    feed: Feed, batches: Batches, workers: int, *, step: int = 1, pin: bool = False
) -> DataLoader[Any]:
    """Loads training batches; iterate it once per epoch. ``step``: see `collate`."""
    return DataLoader(
        Epochs(feed),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=partial(_batch, step=step),
        pin_memory=pin,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        # Its own generator: starting an epoch must not draw from the one that dropout uses.
        generator=torch.Generator(),
    )


def val_loader(feed: Feed, batch: int, workers: int, *, step: int = 1) -> DataLoader[Any]:
    """Loads validation batches in order. ``step``: see `collate`."""
    return DataLoader(
        feed,  # type: ignore[arg-type]  # map-style by its methods, not by inheritance
        batch_size=batch,
        num_workers=workers,
        collate_fn=partial(_batch, step=step),
        worker_init_fn=_start_worker,
        generator=torch.Generator(),
    )


@contextmanager
def fork_safe_opencv() -> Iterator[None]:
    """OpenCV without threads: a worker forked beside them waits for them for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(0)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _batch(samples: Sequence[Sample], step: int) -> tuple[Tensor, Tensor | Boxes]:
    x, target = collate(samples, step)
    if isinstance(target, np.ndarray):
        return torch.from_numpy(x), torch.from_numpy(target)
    return torch.from_numpy(x), target


def _start_worker(number: int) -> None:
    del number
    # Ctrl-C reaches the whole process group; only the main process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
