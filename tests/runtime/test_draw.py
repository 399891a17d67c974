from __future__ import annotations

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from edgenn.runtime.draw import color_of, draw
from edgenn.types import Classification, Detections, Mark, Tracks

SIZES = [(1080, 1920), (480, 640), (120, 160), (8, 8)]


def one(box, class_id=0):
    return Detections(
        np.array([box], np.float32), np.array([0.5], np.float32), np.array([class_id]), ("a", "b")
    )


@pytest.mark.parametrize("size", SIZES)
def test_draws_on_a_copy_around_the_box(size):
    height, width = size
    image = np.full((height, width, 3), 60, np.uint8)
    drawn = draw(image, one([width * 0.25, height * 0.5, width * 0.75, height * 0.9]))
    assert drawn.shape == image.shape
    assert (image == 60).all()
    edge = drawn[round(height * 0.7), round(width * 0.25)]
    assert np.abs(edge.astype(int) - color_of(0)).max() < 30
    if height > 8:
        assert (drawn[round(height * 0.7), round(width * 0.5)] == 60).all()  # not filled
        assert (drawn[: height // 8] == 60).all()  # nothing far away


def test_lines_grow_with_the_picture():
    def coloured(height):
        image = np.zeros((height, height, 3), np.uint8)
        drawn = draw(image, one([height * 0.2, height * 0.2, height * 0.8, height * 0.8]))
        return (drawn[height // 2].max(axis=1) > 40).sum()

    assert coloured(2000) > 1.8 * coloured(500) > 0


@pytest.mark.parametrize("box", [[0, 0, 30, 30], [150, 0, 160, 10], [-50, -50, 500, 500]])
def test_a_label_at_the_edge_stays_inside(box):
    image = np.zeros((120, 160, 3), np.uint8)
    drawn = draw(image, one(box))
    filled = (drawn == np.array(color_of(0), np.uint8)).all(axis=2)
    assert filled.sum() > 300  # the whole background of the label


def test_the_best_label_of_a_classifier_in_the_corner():
    image = np.zeros((120, 160, 3), np.uint8)
    drawn = draw(image, Classification(np.array([0.1, 0.9], np.float32), ("a", "b")))
    assert drawn[1, 1].tolist() == list(color_of(1))
    assert not drawn[60:].any()


def test_sure_key_points_are_dots_and_others_are_not_there():
    image = np.zeros((120, 160, 3), np.uint8)
    plain = one([20, 40, 140, 110])
    points = np.array([[[60, 80, 0.9], [100, 80, 0.1], [500, -40, 0.9]]], np.float32)
    bare, drawn = draw(image, plain), draw(image, replace(plain, keypoints=points))
    assert np.abs(drawn[80, 60].astype(int) - color_of(0)).max() < 30
    changed = np.argwhere((drawn != bare).any(axis=2))
    assert len(changed)
    assert (np.abs(changed - (80, 60)) <= 4).all()


@pytest.mark.parametrize(("count", "a", "b"), [(17, 5, 7), (17, 11, 12), (21, 0, 5), (21, 5, 9)])
def test_the_points_of_a_body_and_of_a_hand_are_joined(count, a, b):
    def middle(count, score):
        points = np.zeros((1, count, 3), np.float32)
        points[0, a], points[0, b] = (40, 60, 0.9), (100, 90, score)
        box = replace(one([2, 30, 158, 118]), keypoints=points)
        return draw(np.zeros((120, 160, 3), np.uint8), box)[73:78, 70].max()

    assert middle(count, 0.9) > 150
    assert middle(count, 0.1) == 0  # no line to a point that is not there
    assert middle(22, 0.9) == 0  # who knows what belongs together


def test_the_number_of_a_track_is_in_its_label():
    def drawn(number):
        tracks = Tracks(np.array([number]), np.zeros(1, np.float32), np.zeros((1, 2), np.float32))
        image = np.zeros((120, 160, 3), np.uint8)
        return draw(image, replace(one([20, 40, 140, 110]), tracks=tracks))

    assert (drawn(1) == drawn(1)).all()
    rows = np.argwhere((drawn(1) != drawn(7)).any(axis=2))[:, 0]
    assert len(rows)
    assert rows.max() < 44  # nothing else than the text above the box


def test_colours_of_neighbouring_classes_are_far_apart():
    hues = [colorsys.rgb_to_hsv(*(c / 255 for c in color_of(i)[::-1]))[0] for i in range(8)]
    for i, a in enumerate(hues):
        for b in hues[i + 1 : i + 4]:
            assert min(abs(a - b), 1 - abs(a - b)) > 0.1


def test_lines_and_zones_are_drawn_under_what_is_found():
    image = np.zeros((240, 320, 3), np.uint8)
    line = Mark("door in 1 out 2", np.array([[40.0, 200.0], [300.0, 200.0]]))
    zone = Mark("mat 0", np.array([[100.0, 60.0], [200.0, 60.0], [1e9, 180.0]]), closed=True)
    drawn = draw(image, Detections.empty(("a",)), [line, zone])
    assert (drawn[200, 200:300].min(axis=1) > 200).all()
    assert (drawn[60, 150:190].min(axis=1) > 200).all()
    assert (drawn[190, 40:60].max(axis=1) > 200).any()  # the text
    assert (drawn[220:] == 0).all()
    both = draw(image, one([150, 180, 250, 230]), [line])
    assert np.abs(both[200, 150].astype(int) - color_of(0)).max() < 30
