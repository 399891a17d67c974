"""Clips of video as samples: decoded once, kept small in memory, moved and sped up at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from edgenn.bundle.manifest import ImageInput
from edgenn.data import Clip, videos
from edgenn.data._kept import Kept
from edgenn.data._sample import Sample
from edgenn.data._windows import Ids, last_only, settled
from edgenn.data.augment import hsv
from edgenn.errors import DataError
from edgenn.ops.pace import pick
from edgenn.ops.preprocess import place
from edgenn.plugins import suggestion
from edgenn.recipe.schema import Augment, Recipe
from edgenn.types import Floats, Image

# Frames are kept for training at this multiple of the net's rate, so that a change of speed
# finds one near every moment.
_DETAIL = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class _Film:
    """A clip at the net's size.

    Attributes:
        frames: (T, H, W, 3) uint8 BGR; (T, H, W, 1) where all colours are equal.
        rate: Frames per second.
    """

    frames: Image
    rate: float


class Clips(Kept[_Film]):
    """See `edgenn.data.feed.Feed`, which is this for clips.

    Raises:
        DataError: ``augment.swap`` names a label that is not there.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        recipe: Recipe,
        spec: ImageInput,
        labels: Sequence[str] = (),
        *,
        train: bool,
    ) -> None:
        self._clips, self._train = clips, train
        self._augment, self._settle, self._seed = recipe.augment, recipe.train.settle, recipe.seed
        self._mirrored = _mirrored(recipe.augment, labels) if train else None
        side = "training" if train else "validation"
        super().__init__(spec, f"{side} clips")

    def __len__(self) -> int:
        return len(self._clips)

    def raw(self, i: int) -> Image:
        """(T, H, W, 3) uint8 BGR frames of the net's size, as many a second as it takes."""
        film = self._decoded(i)
        return _colour(film.frames[self._all_of(film)])

    def frame_size(self, i: int) -> tuple[int, int]:
        """Frames and colours."""
        return len(self._all_of(self._decoded(i))), 3

    def truth(self, i: int) -> tuple[Floats, Ids]:
        """The class of the clip, to be known at its end."""
        ids = last_only(self.frame_size(i)[0], self._clips[i].class_id)
        return np.zeros((0, 4), np.float32), ids

    def sample(self, i: int, epoch: int) -> Sample:
        """Clip ``i`` for the net; changed at random in training."""
        boxes = np.zeros((0, 4), np.float32)
        film, class_id = self._decoded(i), self._clips[i].class_id
        if not self._train:
            frames = film.frames[self._all_of(film)]
            return Sample(self._ready(frames), last_only(len(frames), class_id), boxes, i)
        rng = np.random.default_rng([self._seed, epoch, i])
        frames = film.frames[self._some_of(film, rng)]
        if self._mirrored is not None and rng.random() < self._augment.flip:
            frames, class_id = frames[:, :, ::-1], int(self._mirrored[class_id])
        frames = _moved(_shaded(frames, self._augment, rng), self._augment, rng)
        ids = settled(np.full(len(frames), class_id, np.int64), self._settle)
        return Sample(self._ready(frames), ids, boxes, i)

    def _all_of(self, film: _Film) -> NDArray[np.int64]:
        """The frames that a device would take."""
        return pick(np.arange(len(film.frames)) / film.rate, self._spec.rate)

    def _some_of(self, film: _Film, rng: Generator) -> NDArray[np.int64]:
        """Frames with a little cut off both ends, at a speed that changes on the way."""
        length = len(film.frames)
        start, end = rng.random(2) * self._augment.crop * length
        low, high = np.log(self._augment.speed)
        first, last = np.exp(rng.uniform(low, high, 2)).tolist()
        every = film.rate / self._spec.rate
        # Enough steps for the lowest speed all along.
        most = int((length - start - end) / (every * min(first, last))) + 1
        steps = np.linspace(first, last, most) * every
        places = start + np.cumsum(steps) - steps[0]
        return np.asarray(np.rint(places[places < length - 0.5 - end]), np.int64)

    def _ready(self, frames: Image) -> Floats:
        """(T, 3, H, W)."""
        out = np.empty((len(frames), 3, *self._spec.size), np.float32)
        for frame, wanted in zip(frames, out, strict=True):
            shown = np.broadcast_to(frame, (*self._spec.size, 3))
            wanted[:] = self._prepare.finish(shown)[0]
        return out

    def _bytes(self, sample: _Film) -> int:
        return sample.frames.nbytes

    def _decode(self, i: int) -> _Film:
        clip = self._clips[i]
        rate = min(_DETAIL * self._spec.rate if self._train else self._spec.rate, clip.fps)
        chosen = set(pick(np.arange(clip.frames) / clip.fps, rate).tolist())
        images = videos.read(clip.path, round(clip.start * clip.fps), clip.frames)
        placed = [place(x, self._prepare.placing) for i, x in enumerate(images) if i in chosen]
        if not placed:
            raise DataError(f"{clip.name}: no frame can be decoded")
        frames = np.stack(placed)
        if (frames[..., :1] == frames).all():
            frames = np.ascontiguousarray(frames[..., :1])
        return _Film(frames, rate)


def _mirrored(augment: Augment, labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Class of every class's mirror image; None where clips are not to be flipped."""
    if augment.swap is None:
        return None
    found = np.arange(len(labels))
    for pair in augment.swap:
        for name in pair:
            if name not in labels:
                raise DataError(
                    f"augment.swap: there is no label {name!r}{suggestion(name, list(labels))}"
                )
        left, right = (list(labels).index(name) for name in pair)
        found[[left, right]] = right, left
    return found


def _colour(frames: Image) -> Image:
    return np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3)))


def _shaded(frames: Image, augment: Augment, rng: Generator) -> Image:
    """All frames with the same change of colour and brightness."""
    length, height, width, colours = frames.shape
    if colours == 1:
        factor = 1 + rng.uniform(-1, 1) * augment.hsv[2]
        table = (np.arange(256) * factor).clip(0, 255).astype(np.uint8)
        return table[frames]
    tall = np.ascontiguousarray(frames).reshape(length * height, width, colours)
    return hsv(tall, augment.hsv, rng).reshape(frames.shape)


def _moved(frames: Image, augment: Augment, rng: Generator) -> Image:
    """All frames with the same zoom, shift and turn; edges go on where nothing was."""
    height, width = frames.shape[1:3]
    scale = float(np.exp(rng.uniform(*np.log(augment.scale))))
    wide = float(np.exp(rng.uniform(-augment.stretch, augment.stretch)))
    turn = rng.uniform(-augment.rotate, augment.rotate)
    shift = rng.uniform(-augment.translate, augment.translate, 2) * (width, height)
    middle = ((width - 1) / 2, (height - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(middle, turn, scale), np.float64)
    matrix[:, 2] += shift + (1 - wide) * middle[0] * matrix[:, 0]
    matrix[:, 0] *= wide
    out = np.empty_like(frames)
    for frame, moved in zip(frames, out, strict=True):
        turned = cv2.warpAffine(
            np.ascontiguousarray(frame),
            matrix,
            (width, height),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        moved[:] = turned.reshape(moved.shape)
    return out
