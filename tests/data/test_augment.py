from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.data.augment import hsv, mixup, mosaic, warp
from edgenn.recipe.schema import Augment

IDS = np.array([3], np.int64)


def scene(size=(90, 120), box=(30, 20, 70, 50)):
    """A white rectangle on black, and its box."""
    image = np.zeros((*size, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 255
    return image, np.array([box], np.float32), IDS


def bounds(image):
    ys, xs = np.nonzero(image[..., 0] > 127)
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "changes", [{"flip": 1.0}, {"scale": (0.5, 1.5)}, {"translate": 0.15}, {"flip": 0.5}]
)
def test_box_follows_its_object(seed, changes):
    augment = Augment(**{"flip": 0, "scale": (1, 1), "translate": 0, **changes})
    rng = np.random.default_rng(seed)
    image, boxes, ids = warp(scene(), augment, rng, zoom=True, pad=0)
    assert image.shape == (90, 120, 3)
    assert ids.tolist() == [3]
    np.testing.assert_allclose(boxes[0], bounds(image), atol=1.01)


@pytest.mark.parametrize("seed", range(6))
def test_turned_box_holds_its_object(seed):
    augment = Augment(flip=0.5, scale=(0.8, 1.2), translate=0.05, rotate=45)
    rng = np.random.default_rng(seed)
    image, boxes, _ = warp(scene(), augment, rng, zoom=True, pad=0)
    np.testing.assert_allclose(boxes[0], bounds(image), atol=1.6)


def test_without_strength_nothing_changes():
    augment = Augment(flip=0, scale=(1, 1), translate=0, hsv=(0, 0, 0))
    rng = np.random.default_rng(0)
    sample = scene()
    image, boxes, _ = warp(sample, augment, rng, zoom=True, pad=9)
    assert np.array_equal(image, sample[0])
    assert np.array_equal(boxes, sample[1])
    assert np.array_equal(hsv(image, augment.hsv, rng), image)


def test_flip_is_exact():
    image = np.random.default_rng(0).integers(0, 255, (31, 44, 3)).astype(np.uint8)
    augment = Augment(flip=1, scale=(1, 1), translate=0)
    flipped = warp((image, np.zeros((0, 4), np.float32), IDS), augment, np.random.default_rng(0),
                   zoom=True, pad=0)  # fmt: skip
    assert np.array_equal(flipped[0], image[:, ::-1])
    assert flipped[2].tolist() == [3]  # a classifier's class needs no box


def test_zoom_can_be_off_and_padding_is_grey():
    augment = Augment(flip=0, scale=(0.5, 0.5), translate=0)
    rng = np.random.default_rng(0)
    assert (warp(scene(), augment, rng, zoom=True, pad=114)[0][0, 0] == 114).all()
    assert np.array_equal(warp(scene(), augment, rng, zoom=False, pad=114)[0], scene()[0])


def test_box_mostly_out_of_sight_is_dropped():
    sample = scene(box=(0, 20, 10, 50))
    kept = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        augment = Augment(flip=0, scale=(1, 1), translate=0.1)
        image, boxes, ids = warp(sample, augment, rng, zoom=True, pad=0)
        seen = (image[20:50, :, 0] > 127).mean() * image.shape[1] / 10
        assert len(boxes) == len(ids)
        kept.add((len(boxes), seen > 0.45))
        if len(boxes):
            assert (boxes >= 0).all()
            assert seen > 0.2
    assert {(0, False), (1, True)} <= kept


@pytest.mark.parametrize("seed", range(8))
def test_mosaic_boxes_follow(seed):
    """Four rectangles of different colour, each still under its box."""
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)])
    samples = []
    for k, size in enumerate([(90, 120), (200, 60), (64, 64), (300, 400)]):
        h, w = size
        box = (w // 4, h // 4, 3 * w // 4, 3 * h // 4)
        image = np.zeros((h, w, 3), np.uint8)
        image[box[1] : box[3], box[0] : box[2]] = colours[k]
        samples.append((image, np.array([box], np.float32), np.array([k])))
    image, boxes, ids = mosaic(samples, (160, 224), np.random.default_rng(seed))
    assert image.shape == (160, 224, 3)
    assert len(ids) == len(boxes) >= 3
    for box, k in zip(boxes, ids, strict=True):
        ys, xs = np.nonzero(((image > 127) == (colours[k] > 0)).all(2))
        found = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
        np.testing.assert_allclose(box, found, atol=3)


def test_hsv_changes_colour_but_not_form():
    image = np.full((8, 8, 3), (40, 90, 200), np.uint8)
    seen = {tuple(hsv(image, (0.1, 0.5, 0.4), np.random.default_rng(s))[0, 0]) for s in range(9)}
    assert len(seen) == 9
    hue = cv2.cvtColor(np.array([[*seen]], np.uint8), cv2.COLOR_BGR2HSV)[0, :, 0].astype(int)
    assert np.ptp(hue) > 5


@pytest.mark.parametrize("seed", range(6))
def test_mixup_shows_both_pictures_and_keeps_both_boxes(seed):
    """The second is twice as large and fills the first."""
    below, above = scene(), scene((180, 240), (140, 110, 220, 160))
    image, boxes, ids = mixup(below, (*above[:2], IDS + 1), np.random.default_rng(seed))
    assert image.shape == below[0].shape
    assert ids.tolist() == [3, 4]
    np.testing.assert_allclose(boxes, [[30, 20, 70, 50], [70, 55, 110, 80]], atol=0.6)
    only_below, only_above, none = (int(image[y, x, 0]) for y, x in ((30, 40), (70, 100), (5, 5)))
    assert none == 0
    assert only_below + only_above == pytest.approx(255, abs=2)
    assert 30 < only_below < 225
