"""Windows of recordings as samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import WindowInput
from edgenn.data import Recording
from edgenn.data._sample import Sample
from edgenn.data.augment import disturb, place_window
from edgenn.ops.preprocess import Normalize, WindowPreprocessor
from edgenn.ops.window import count
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats

# A window has the class that at least this share of its readings has.
MAJORITY = 0.8


def window_class(class_ids: NDArray[np.int64]) -> int:
    """Class of a window by those of its readings; -1 where none has a clear majority."""
    values, counts = np.unique(class_ids, return_counts=True)
    best = int(counts.argmax())
    return int(values[best]) if counts[best] >= MAJORITY * len(class_ids) else -1


class Windows:
    """See `edgenn.data.feed.Feed`, which is this for recordings.

    Windows without a clear class are no samples.
    """

    def __init__(
        self, recordings: Sequence[Recording], recipe: Recipe, spec: WindowInput, *, train: bool
    ) -> None:
        self._recordings, self._length, self._stride = recordings, spec.length, spec.stride
        self._augment, self._seed, self._train = recipe.augment, recipe.seed, train
        channels = len(spec.channels)
        self._prepare = WindowPreprocessor(spec.steps, spec.length, channels)
        step = next((s for s in spec.steps if isinstance(s, Normalize)), None)
        self._std = np.array(step.std if step else [1.0] * channels, np.float32)
        self._windows: list[tuple[int, int, int]] = []
        for number, recording in enumerate(recordings):
            for k in range(count(len(recording.values), self._length, self._stride)):
                class_id = self._class_at(number, k * self._stride)
                if class_id >= 0:
                    self._windows.append((number, k * self._stride, class_id))

    def __len__(self) -> int:
        return len(self._windows)

    def raw(self, i: int) -> Floats:
        """Readings of window ``i`` at its fixed place, in the sensor's units."""
        number, start, _ = self._windows[i]
        return self._recordings[number].values[start : start + self._length].copy()

    def frame_size(self, i: int) -> tuple[int, int]:
        """Readings and channels."""
        del i
        return self._length, len(self._std)

    def truth(self, i: int) -> tuple[Floats, NDArray[np.int64]]:
        """No boxes, and the class of window ``i`` at its fixed place."""
        return np.zeros((0, 4), np.float32), np.array([self._windows[i][2]], np.int64)

    def sample(self, i: int, epoch: int) -> Sample:
        """Window ``i`` for the net; moved and disturbed at random in training."""
        boxes, class_ids = self.truth(i)
        values = self.raw(i)
        if self._train:
            rng = np.random.default_rng([self._seed, epoch, i])
            if self._augment.shift:
                values, class_ids = self._shifted(i, rng)
            values = disturb(values, self._augment, self._std, rng)
        return Sample(self._prepare(values)[0].copy(), class_ids, boxes, i)

    def _shifted(self, i: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
        number, start, class_id = self._windows[i]
        values = self._recordings[number].values
        moved = place_window(start, len(values) - self._length, self._stride, rng)
        moved_class = self._class_at(number, moved)
        if moved_class < 0:
            moved, moved_class = start, class_id
        return values[moved : moved + self._length], np.array([moved_class], np.int64)

    def _class_at(self, number: int, start: int) -> int:
        return window_class(self._recordings[number].class_ids[start : start + self._length])
