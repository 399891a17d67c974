"""Time of random changes to training pictures: this project's beside kornia's and albumentations'.

    pip install kornia albumentations      (in an environment of their own)
    python tools/bench/augment.py

One core, pictures of 480 x 640 with 8 boxes: colour jitter, then flip, zoom, shift and
turn with the boxes following. Prints milliseconds per picture and ratios. A library
that is not installed is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import cv2
import numpy as np
import torch

from edgenn.data.augment import hsv, warp
from edgenn.recipe.schema import Augment

SETTINGS = Augment(flip=0.5, scale=(0.7, 1.4), translate=0.1, rotate=5, hsv=(0.015, 0.5, 0.4))
ROUNDS = 60


def own(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> Callable[[], object]:
    """This project."""
    rng = np.random.default_rng(0)
    return lambda: warp(
        (hsv(image, SETTINGS.hsv, rng), boxes, ids), SETTINGS, rng, zoom=True, pad=114
    )


def albumentations(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> Callable[[], object]:
    """MIT, on OpenCV; no longer maintained."""
    import albumentations as a

    steps = a.Compose(
        [
            a.HueSaturationValue(3, 64, 51, p=1),
            a.HorizontalFlip(p=0.5),
            a.Affine(scale=(0.7, 1.4), translate_percent=0.1, rotate=(-5, 5), fill=114, p=1),
        ],
        bbox_params=a.BboxParams("pascal_voc", label_fields=["ids"], min_visibility=0.3),
    )
    return lambda: steps(image=image, bboxes=boxes, ids=ids)


def kornia(image: np.ndarray, boxes: np.ndarray, ids: np.ndarray) -> Callable[[], object]:
    """Apache-2.0, on torch."""
    import kornia.augmentation as k

    del ids
    steps = k.AugmentationSequential(
        k.ColorJiggle(0.4, 0.0, 0.5, 0.015, p=1),
        k.RandomHorizontalFlip(p=0.5),
        k.RandomAffine(5, (0.1, 0.1), (0.7, 1.4), p=1),
        data_keys=["input", "bbox_xyxy"],
    )
    given = torch.from_numpy(boxes)[None]

    def run() -> object:
        x = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
        return steps(x, given)

    return run


def main() -> None:
    """Measure and print."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 255, (30, 40, 3)).astype(np.uint8), (640, 480))
    corner = rng.uniform(0, 300, (8, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 150, (8, 2))], 1).astype(np.float32)
    ids = np.arange(8)
    base = 0.0
    for make in (own, albumentations, kornia):
        try:
            run = make(image, boxes, ids)
        except ModuleNotFoundError as error:
            print(f"{make.__name__:16} {error}")
            continue
        taken = []
        for _ in range(ROUNDS):
            start = perf_counter()
            run()
            taken.append(perf_counter() - start)
        each = float(np.median(taken)) * 1e3
        base = base or each
        print(f"{make.__name__:16} {each:7.2f} ms, {each / base:.1f} of own")


if __name__ == "__main__":
    main()
