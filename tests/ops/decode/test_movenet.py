from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.movenet import build, recognise
from edgenn.ops.preprocess import Letterbox, geometry

SIZE, LABELS = (192, 256), ("person",)


def test_one_person_equals_a_plain_loop():
    people = np.random.default_rng(0).uniform(0, 1, (1, 1, 17, 3)).astype(np.float32)
    found = build({"point_conf": 0.4}, LABELS, SIZE)({"people": people}, None)
    xs, ys, scores = [], [], []
    for k, (y, x, score) in enumerate(people[0, 0].tolist()):
        expected = (x * 256, y * 192, score)
        np.testing.assert_allclose(found.keypoints[0, k], expected, rtol=1e-5)
        if score >= 0.4:
            xs.append(x * 256)
            ys.append(y * 192)
            scores.append(score)
    assert 3 < len(xs) < 17
    np.testing.assert_allclose(found.boxes, [[min(xs), min(ys), max(xs), max(ys)]], rtol=1e-5)
    assert found.scores[0] == pytest.approx(sum(scores) / len(scores))


def test_nobody_is_no_detection():
    people = np.full((1, 1, 17, 3), 0.1, np.float32)
    assert len(build({}, LABELS, SIZE)({"people": people}, None)) == 0
    assert len(build({}, LABELS, SIZE)({"people": np.zeros((1, 6, 56), np.float32)}, None)) == 0


def test_several_people_equal_a_plain_loop():
    rng = np.random.default_rng(1)
    people = rng.uniform(0, 1, (1, 6, 56)).astype(np.float32)
    people[0, :, 55] = (0.9, 0.1, 0.8, 0.2, 0.7, 0.05)
    found = build({"iou": 1.0}, LABELS, SIZE)({"people": people}, None)
    assert len(found) == 3
    for at, m in enumerate((0, 2, 4)):
        values = people[0, m].tolist()
        top, left, bottom, right, score = values[51:]
        expected = (left * 256, top * 192, right * 256, bottom * 192)
        np.testing.assert_allclose(found.boxes[at], expected, rtol=1e-5)
        assert found.scores[at] == pytest.approx(score)
        for k in range(17):
            y, x, s = values[3 * k : 3 * k + 3]
            np.testing.assert_allclose(found.keypoints[at, k], (x * 256, y * 192, s), rtol=1e-5)


def test_points_land_in_the_frame():
    people = np.zeros((1, 1, 17, 3), np.float32)
    people[..., :] = (0.5, 0.5, 0.9)
    people[0, 0, 0] = (0.5, 0.25, 0.9)
    way = geometry((480, 480), Letterbox(SIZE, pad=0))
    found = build({}, LABELS, SIZE)({"people": people}, way)
    # 192 of the 256 columns hold the picture, from column 32; a net pixel is 2.5 of the frame.
    np.testing.assert_allclose(found.keypoints[0, 0], (80, 240, 0.9), rtol=1e-5)
    np.testing.assert_allclose(found.keypoints[0, 1], (240, 240, 0.9), rtol=1e-5)


def test_both_forms_are_recognised_and_nothing_else():
    single = recognise(Foreign({}, {"out": (1, 1, 17, 3)}, (192, 192)))
    assert single.outputs == {"people": "out"}
    assert (single.fit, single.pad, single.mean, single.std) == (
        "letterbox",
        0,
        (0.0,) * 3,
        (1.0,) * 3,
    )
    assert recognise(Foreign({}, {"out": (1, 6, 56)}, (256, 256))).sure
    for shape in ((1, 56, 8400), (1, 8400, 56), (1, 17, 3, 1), (1, 1, 16, 3)):
        assert recognise(Foreign({}, {"out": shape}, (256, 256))) is None


@pytest.mark.parametrize("shape", [(1, 17, 2), (2, 1, 17, 3), (1, 6, 55), (1, 6, 5), (17, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ModelError, match=r"movenet layout needs \(1, 1, K, 3\)"):
        build({}, LABELS, SIZE)({"people": np.zeros(shape, np.float32)}, None)
