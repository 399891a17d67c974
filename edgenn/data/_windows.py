"""Stretches of recordings as samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import WindowInput
from edgenn.data import Recording
from edgenn.data._sample import Sample
from edgenn.data.augment_time import disturb, place_window, stretch_time
from edgenn.ops.preprocess import Normalize, normalize
from edgenn.ops.window import count
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats

# A window has the class that at least this share of its readings has.
MAJORITY = 0.8
# Units of what grows with the speed of a movement.
_RATES = ("deg/s", "rad/s")
Ids = NDArray[np.int64]


def window_class(class_ids: Ids) -> int:
    """Class of a window by those of its readings; -1 where none has a clear majority."""
    values, counts = np.unique(class_ids, return_counts=True)
    best = int(counts.argmax())
    return int(values[best]) if counts[best] >= MAJORITY * len(class_ids) else -1


def last_only(length: int, class_id: int) -> Ids:
    """(length,) class ids of which only the last one counts."""
    ids = np.full(length, -1, np.int64)
    ids[-1:] = class_id
    return ids


def settled(class_ids: Ids, share: float) -> Ids:
    """The same without the beginning of every run of one class.

    A net that has seen a tenth of a gesture cannot know which one it will be.

    Args:
        class_ids: (T,).
        share: Of each run, which becomes -1; its last reading always stays.
    """
    kept = class_ids.copy()
    starts = np.flatnonzero(np.diff(class_ids, prepend=-2))
    for start, end in zip(starts, [*starts[1:], len(class_ids)], strict=True):
        kept[start : min(end - 1, start + int(share * (end - start)))] = -1
    return kept


class Stretches:
    """What is common to samples that are stretches of readings.

    Args:
        recordings: Where they come from.
        recipe: For seed and augmentation.
        spec: The net's input.
        train: Change the samples at random.
    """

    def __init__(
        self, recordings: Sequence[Recording], recipe: Recipe, spec: WindowInput, *, train: bool
    ) -> None:
        self._recordings, self._augment = recordings, recipe.augment
        self._settle, self._seed, self._train = recipe.train.settle, recipe.seed, train
        self._channels = len(spec.channels)
        self._rates = np.array([unit in _RATES for unit in spec.units or [""] * self._channels])
        step = next((s for s in spec.steps if isinstance(s, Normalize)), None)
        self._step = step or Normalize((0.0,), (1.0,))
        self._std = np.array(step.std if step else [1.0] * self._channels, np.float32)

    def __len__(self) -> int:
        raise NotImplementedError

    def raw(self, i: int) -> Floats:
        """(T, C) readings of sample ``i`` at its fixed place, in the sensor's units."""
        raise NotImplementedError

    def truth(self, i: int) -> tuple[Floats, Ids]:
        """No boxes, and (T,) classes to be known after each reading; -1 where nothing is asked."""
        raise NotImplementedError

    def frame_size(self, i: int) -> tuple[int, int]:
        """Readings and channels."""
        return len(self.raw(i)), self._channels

    def sample(self, i: int, epoch: int) -> Sample:
        """Sample ``i`` for the net; moved and disturbed at random in training."""
        boxes = np.zeros((0, 4), np.float32)
        if not self._train:
            return Sample(self._ready(self.raw(i)), self.truth(i)[1], boxes, i)
        rng = np.random.default_rng([self._seed, epoch, i])
        values, class_ids = self._drawn(i, rng)
        values = disturb(values, self._augment, self._std, rng)
        return Sample(self._ready(values), self._asked(class_ids), boxes, i)

    def _asked(self, class_ids: Ids) -> Ids:
        """The classes that a net is to know, of those of readings."""
        return settled(class_ids, self._settle)

    def _drawn(self, i: int, rng: np.random.Generator) -> tuple[Floats, Ids]:
        """Readings for training and the class of each."""
        raise NotImplementedError

    def _ready(self, values: Floats) -> Floats:
        out = np.empty((len(values), self._channels), np.float32)
        normalize(values, self._step, out)
        return out


class Windows(Stretches):
    """Windows of fixed length; those without a clear class are no samples."""

    def __init__(
        self, recordings: Sequence[Recording], recipe: Recipe, spec: WindowInput, *, train: bool
    ) -> None:
        super().__init__(recordings, recipe, spec, train=train)
        self._length, self._stride = recipe.input.window, recipe.input.stride
        self._windows: list[tuple[int, int, int]] = []
        for number, recording in enumerate(recordings):
            for k in range(count(len(recording.values), self._length, self._stride)):
                class_id = self._class_at(number, k * self._stride)
                if class_id >= 0:
                    self._windows.append((number, k * self._stride, class_id))

    def __len__(self) -> int:
        return len(self._windows)

    def raw(self, i: int) -> Floats:
        """See `Stretches.raw`."""
        number, start, _ = self._windows[i]
        return self._recordings[number].values[start : start + self._length].copy()

    def truth(self, i: int) -> tuple[Floats, Ids]:
        """The class of the window, to be known at its end."""
        return np.zeros((0, 4), np.float32), last_only(self._length, self._windows[i][2])

    def _drawn(self, i: int, rng: np.random.Generator) -> tuple[Floats, Ids]:
        number, start, class_id = self._windows[i]
        values = self._recordings[number].values
        if self._augment.shift:
            moved = place_window(start, len(values) - self._length, self._stride, rng)
            moved_class = self._class_at(number, moved)
            if moved_class >= 0:
                start, class_id = moved, moved_class
        end = start + self._length
        ids = self._recordings[number].class_ids[start:end]
        # The few readings of another class say nothing of how the window ends.
        return values[start:end], np.where(ids == class_id, ids, -1)

    def _class_at(self, number: int, start: int) -> int:
        return window_class(self._recordings[number].class_ids[start : start + self._length])


class Whole(Stretches):
    """Whole recordings of one class each: clips."""

    def __init__(
        self, recordings: Sequence[Recording], recipe: Recipe, spec: WindowInput, *, train: bool
    ) -> None:
        classes = [window_class(r.class_ids) for r in recordings]
        self._classes = [c for c in classes if c >= 0]
        kept = [r for r, c in zip(recordings, classes, strict=True) if c >= 0]
        super().__init__(kept, recipe, spec, train=train)

    def __len__(self) -> int:
        return len(self._recordings)

    def raw(self, i: int) -> Floats:
        """See `Stretches.raw`."""
        return self._recordings[i].values.copy()

    def truth(self, i: int) -> tuple[Floats, Ids]:
        """The class of the clip, to be known at its end."""
        length = len(self._recordings[i].values)
        return np.zeros((0, 4), np.float32), last_only(length, self._classes[i])

    def _drawn(self, i: int, rng: np.random.Generator) -> tuple[Floats, Ids]:
        values = stretch_time(self._recordings[i].values, self._augment, rng, self._rates)
        return values, np.full(len(values), self._classes[i], np.int64)
