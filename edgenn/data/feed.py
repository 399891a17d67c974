"""Samples as a network takes them, one by one.

Training samples are changed at random, then go through `edgenn.ops.preprocess`
like every frame on a device; validation samples only do the latter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import ImageInput, WindowInput
from edgenn.data import Clip, Dataset, Picture, Recording
from edgenn.data._clips import Clips
from edgenn.data._joined import Joined
from edgenn.data._pictures import Pictures
from edgenn.data._sample import Sample
from edgenn.data._windows import Stretches, Whole, Windows
from edgenn.errors import DataError
from edgenn.ops.preprocess import Letterbox, Normalize, Resize
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats, Image


def input_spec(recipe: Recipe, dataset: Dataset) -> ImageInput | WindowInput:
    """What the net takes, as the manifest will say it.

    Pictures are normalised as the recipe says, windows by mean and standard
    deviation of the training readings.

    Raises:
        DataError: The recipe names more or fewer units than there are channels; there are no
            readings.
    """
    spec = recipe.input
    if recipe.task != "sequence" or recipe.data.format == "clips":
        sizing = Letterbox if spec.resize == "letterbox" else Resize
        steps = (sizing(spec.size), Normalize(spec.mean, spec.std))
        return ImageInput(size=spec.size, rate=_frame_rate(recipe, dataset), steps=steps)
    units, channels = recipe.data.units, dataset.channels
    if units and len(units) != len(channels):
        raise DataError(
            f"data.units names {len(units)} units for {len(channels)} channels: "
            f"{', '.join(channels)}"
        )
    recordings = [r.values for r in dataset.train if isinstance(r, Recording)]
    if not recordings:
        raise DataError("there are no sensor readings to train on")
    readings = np.concatenate(recordings).astype(np.float64)
    std = readings.std(axis=0)
    # A constant channel carries nothing; dividing by its rounding noise would make it shout.
    std[std < 1e-6] = 1.0
    return WindowInput(
        length=spec.window,
        stride=spec.stride,
        rate=dataset.rate,
        channels=channels,
        background=_background(recipe, dataset),
        units=tuple(units),
        ranges=tuple(
            (low, high) for low, high in np.percentile(readings, (0.1, 99.9), 0).T.tolist()
        ),
        steps=(Normalize(tuple(readings.mean(axis=0).tolist()), tuple(std.tolist())),),
    )


def _frame_rate(recipe: Recipe, dataset: Dataset) -> float:
    """Frames per second of clips: the recipe's, or else the most frequent one of the data."""
    rates = Counter(round(sample.fps, 3) for sample in dataset.train if isinstance(sample, Clip))
    return recipe.data.rate or max(rates, key=rates.__getitem__) if rates else 0.0


def _background(recipe: Recipe, dataset: Dataset) -> int:
    name = recipe.data.background
    return dataset.labels.index(name) if name in dataset.labels else -1


_SAMPLES: dict[str, type[Stretches]] = {"window": Windows, "clip": Whole, "stream": Joined}


class Feed:
    """Samples of one side of a data set, by number.

    The random changes to a training sample depend only on the recipe's seed, the
    epoch and the sample's number. Decoded pictures are kept in memory, as many as
    fit into 1 GiB; pickling leaves them behind, so that a process that gets a
    copy decodes for itself, while one that was forked shares them.

    Args:
        samples: Pictures, recordings or clips.
        recipe: For window, stride, seed and augmentation.
        spec: The net's input.
        train: Change the samples at random.
        keep: Decode all pictures now and keep them; not worth it for a few samples.
        labels: Class names, for what a flip exchanges; needed to train on clips.

    Raises:
        DataError: A picture cannot be decoded.
    """

    def __init__(
        self,
        samples: Sequence[Picture] | Sequence[Recording] | Sequence[Clip],
        recipe: Recipe,
        spec: ImageInput | WindowInput,
        train: bool,
        *,
        keep: bool = True,
        labels: Sequence[str] = (),
    ) -> None:
        self._epoch = 0
        self._items: Pictures | Clips | Stretches
        if isinstance(spec, ImageInput) and spec.rate:
            clips = [sample for sample in samples if isinstance(sample, Clip)]
            self._items = Clips(clips, recipe, spec, labels, train=train)
            if keep:
                self._items.preload()
        elif isinstance(spec, ImageInput):
            pictures = [sample for sample in samples if isinstance(sample, Picture)]
            self._items = Pictures(pictures, recipe, spec, train=train)
            if keep:
                self._items.preload()
        else:
            recordings = [sample for sample in samples if isinstance(sample, Recording)]
            kind = _SAMPLES[recipe.input.sample]
            self._items = kind(recordings, recipe, spec, train=train)

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, i: int) -> Sample:
        """Sample ``i``, ready for the net."""
        if not 0 <= i < len(self):
            raise IndexError(i)
        return self._items.sample(i, self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Choose which random changes the next samples get."""
        self._epoch = epoch

    def raw(self, i: int) -> Image | Floats:
        """Sample ``i`` as a device would get it: (H, W, 3) uint8 BGR, or (T, C) readings.

        Of a clip (T, H, W, 3), already of the net's size and rate.
        """
        return self._items.raw(i)

    def frame_size(self, i: int) -> tuple[int, int]:
        """Height, width of picture ``i``, without decoding it again where it is kept.

        For a sequence its number of readings, or frames, and of channels.
        """
        return self._items.frame_size(i)

    def truth(self, i: int) -> tuple[Floats, NDArray[np.int64]]:
        """Boxes (N, 4) in pixels of `raw`, none but for detectors; class ids as in `Sample`."""
        return self._items.truth(i)


def collate(samples: Sequence[Sample], step: int = 1) -> tuple[Floats, Any]:
    """Join samples into a batch.

    Args:
        samples: Of one feed.
        step: Sequences: readings per step of the net. The first few are left out so that
            steps end with the last reading.

    Returns:
        (B, ...) float32, and (B,) int64 class ids; for detectors a list of
        (boxes, class_ids) per sample instead. Sequences are (B, T, C) with (B, T)
        class ids, shorter ones with zeros and -1 at their end; clips (B, T, 3, H, W),
        where the last frame goes on.
    """
    if samples[0].x.ndim in (2, 4):
        return _joined(samples, step)
    x = np.stack([sample.x for sample in samples])
    if all(len(s.class_ids) == 1 and not len(s.boxes) for s in samples):
        return x, np.concatenate([sample.class_ids for sample in samples])
    return x, [(sample.boxes, sample.class_ids) for sample in samples]


def _joined(samples: Sequence[Sample], step: int) -> tuple[Floats, NDArray[np.int64]]:
    lengths = [len(sample.x) // step * step for sample in samples]
    x = np.zeros((len(samples), max(lengths), *samples[0].x.shape[1:]), np.float32)
    class_ids = np.full(x.shape[:2], -1, np.int64)
    for row, (sample, length) in enumerate(zip(samples, lengths, strict=True)):
        x[row, :length] = sample.x[len(sample.x) - length :]
        if x.ndim == 5:  # normalisations of a picture net should not see black frames
            x[row, length:] = sample.x[-1]
        class_ids[row, :length] = sample.class_ids[len(sample.x) - length :]
    return x, class_ids


__all__ = ["Feed", "Sample", "collate", "input_spec"]
