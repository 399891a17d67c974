"""Pictures as samples: kept small in memory, changed at random, brought to the net's form."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edgenn.bundle.manifest import ImageInput
from edgenn.data import Picture
from edgenn.data._kept import Kept
from edgenn.data._sample import Sample
from edgenn.data.augment import Boxed, hsv, mixup, mosaic, warp
from edgenn.data.images import read
from edgenn.ops.preprocess import Letterbox, geometry, place
from edgenn.recipe.schema import Recipe
from edgenn.types import Floats, Image

# Training pictures are kept at this multiple of the net's size, so that zooming in stays sharp.
_DETAIL = 1.5
_GREY = 114
# A mosaic is so many times as wide as what is shown of it, so that things keep their size.
_MOSAIC = 2

# A picture at the size that it is kept in, and its height and width in the file.
_Small = tuple[Image, tuple[int, int]]


class Pictures(Kept[_Small]):
    """See `edgenn.data.feed.Feed`, which is this for pictures."""

    def __init__(
        self, pictures: Sequence[Picture], recipe: Recipe, spec: ImageInput, *, train: bool
    ) -> None:
        self._pictures, self._train = pictures, train
        self._augment, self._seed = recipe.augment, recipe.seed
        joins = recipe.task == "detect"
        self._mosaic = recipe.augment.mosaic if joins else 0.0
        self._mixup = recipe.augment.mixup if joins else 0.0
        self._plain_from = recipe.plain_from
        side = "training" if train else "validation"
        super().__init__(spec, f"{side} pictures")

    def __len__(self) -> int:
        return len(self._pictures)

    def raw(self, i: int) -> Image:
        """The picture as the file has it."""
        return read(self._pictures[i].path)

    def frame_size(self, i: int) -> tuple[int, int]:
        """Height, width of the picture in the file."""
        return self._decoded(i)[1]

    def truth(self, i: int) -> tuple[Floats, NDArray[np.int64]]:
        """Boxes in pixels of `raw`, and class ids."""
        return self._pictures[i].boxes, self._pictures[i].class_ids

    def sample(self, i: int, epoch: int) -> Sample:
        """Picture ``i`` for the net; changed at random in training."""
        if self._train:
            return self._train_sample(i, epoch)
        placed, size = self._decoded(i)
        boxes, class_ids = self.truth(i)
        boxes = geometry(size, self._prepare.placing).to_net(boxes)
        return Sample(self._prepare.finish(placed)[0].copy(), class_ids, boxes, i)

    def _train_sample(self, i: int, epoch: int) -> Sample:
        rng = np.random.default_rng([self._seed, epoch, i])
        plain = epoch >= self._plain_from
        boxed, times = self._boxed(i), 1.0
        if not plain and rng.random() < self._mosaic:
            others = [self._boxed(int(k)) for k in rng.integers(len(self), size=3)]
            height, width = self._prepare.placing.size
            boxed = mosaic([boxed, *others], (height * _MOSAIC, width * _MOSAIC), rng)
            times = _MOSAIC
        if not plain and rng.random() < self._mixup:
            boxed = mixup(boxed, self._boxed(int(rng.integers(len(self)))), rng)
        # Colours change first, so that what comes into view from outside is as grey as padding.
        boxed = (hsv(boxed[0], self._augment.hsv, rng), *boxed[1:])
        image, boxes, class_ids = warp(
            boxed, self._augment, rng, zoom=not plain, pad=self._pad(), times=times
        )
        x, mapping = self._prepare(image)
        boxes = mapping.to_net(boxes)
        if len(boxes):
            # What is thinner than a net pixel cannot be seen, and makes losses blow up.
            seen = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
            boxes, class_ids = boxes[seen], class_ids[seen]
        return Sample(x[0].copy(), class_ids, boxes, i)

    def _boxed(self, i: int) -> Boxed:
        image, size = self._decoded(i)
        boxes, class_ids = self.truth(i)
        factor = np.array([image.shape[1] / size[1], image.shape[0] / size[0]] * 2, np.float32)
        return image, boxes * factor, class_ids

    def _bytes(self, sample: _Small) -> int:
        return sample[0].nbytes

    def _decode(self, i: int) -> _Small:
        image = self.raw(i)
        size = (image.shape[0], image.shape[1])
        if not self._train:
            return place(image, self._prepare.placing), size
        mapping = geometry(size, self._prepare.placing)
        factor = _DETAIL * max(mapping.scale_x, mapping.scale_y)
        if factor < 1:
            side = (round(size[1] * factor), round(size[0] * factor))
            small = cv2.resize(image, side, interpolation=cv2.INTER_AREA)
            image = np.asarray(small, np.uint8)
        return image, size

    def _pad(self) -> int:
        placing = self._prepare.placing
        return placing.pad if isinstance(placing, Letterbox) else _GREY
