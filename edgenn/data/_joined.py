"""Streams of recordings that follow one another as samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgenn.bundle.manifest import WindowInput
from edgenn.data import Recording
from edgenn.data._windows import Ids, Stretches, settled
from edgenn.data.augment_time import stretch_time
from edgenn.data.streams import join, join_groups
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats

# Seconds of the shortest and longest pause between two recordings.
PAUSE = (0.3, 3.0)


class Joined(Stretches):
    """Recordings of one group, one after the other with pauses between them.

    In training every sample is another stretch of ``input.window`` readings, as many as
    the recordings fill, and each recording is in at least one. To measure on, there is
    one stream per group, always the same; recordings that change their class by
    themselves are streams already.
    """

    def __init__(
        self, recordings: Sequence[Recording], recipe: Recipe, spec: WindowInput, *, train: bool
    ) -> None:
        self._background, self._window = spec.background, recipe.input.window
        if not train:
            alone = [r for r in recordings if len(np.unique(r.class_ids)) == 1]
            streams = [r for r in recordings if len(np.unique(r.class_ids)) > 1]
            recordings = [*streams, *join_groups(alone, spec.background, recipe.seed, PAUSE)]
        super().__init__(recordings, recipe, spec, train=train)
        self._groups: dict[str, list[int]] = {}
        for number, recording in enumerate(recordings):
            self._groups.setdefault(recording.group, []).append(number)

        readings = sum(len(r.values) for r in self._recordings)
        self._count = max(len(self._recordings), readings // self._window if train else 0)

    def __len__(self) -> int:
        return self._count

    def raw(self, i: int) -> Floats:
        """See `Stretches.raw`."""
        return self._recordings[i].values.copy()

    def truth(self, i: int) -> tuple[Floats, Ids]:
        """The class of every reading that is not at the beginning of a gesture."""
        return np.zeros((0, 4), np.float32), self._asked(self._recordings[i].class_ids)

    def _asked(self, class_ids: Ids) -> Ids:
        return np.where(class_ids == self._background, class_ids, settled(class_ids, self._settle))

    def _drawn(self, i: int, rng: np.random.Generator) -> tuple[Floats, Ids]:
        """A recording, with others of its group before and after it."""
        i %= len(self._recordings)
        others = self._groups[self._recordings[i].group]
        picked = [self._part(i, rng)]
        while sum(len(values) for values, _ in picked) < self._window:
            picked.append(self._part(int(rng.choice(others)), rng))
        picked = [picked[k] for k in rng.permutation(len(picked))]
        parts = [values for values, _ in picked]
        # Any other number than that of the pauses marks where the recordings lie.
        marks = [self._background + 1] * len(parts)
        rate = self._recordings[i].rate
        values, ids = join(parts, marks, self._background, rate, rng, pause=PAUSE)
        ids[ids != self._background] = np.concatenate([ids for _, ids in picked])
        start = int(rng.integers(0, len(values) - self._window + 1))
        end = start + self._window
        return values[start:end], ids[start:end]

    def _part(self, i: int, rng: np.random.Generator) -> tuple[Floats, Ids]:
        """A recording, or where it is long a window of it."""
        recording = self._recordings[i]
        values, ids = recording.values, recording.class_ids
        if len(values) > self._window:
            start = int(rng.integers(0, len(values) - self._window + 1))
            end = start + self._window
            values, ids = values[start:end], ids[start:end]
        if (ids == ids[0]).all():
            values = stretch_time(values, self._augment, rng, self._rates)
            ids = np.full(len(values), ids[0])
        return values, ids
