from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.landmarks import build, recognise
from edgenn.ops.preprocess import Letterbox, geometry

SIDES = ("left", "right")


def _hand(presence: float = 0.9, right: float = 0.8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "points": rng.uniform(0, 224, (1, 63)).astype(np.float32),
        "presence": np.array([[presence]], np.float32),
        "handedness": np.array([[right]], np.float32),
    }


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("right", [0.1, 0.8])
def test_a_hand_equals_a_plain_loop(seed, right):
    outputs = _hand(right=right, seed=seed)
    found = build({}, SIDES, (224, 224))(outputs, None)
    values = outputs["points"][0].tolist()
    xs, ys = values[0::3], values[1::3]
    np.testing.assert_allclose(found.boxes, [[min(xs), min(ys), max(xs), max(ys)]])
    for k in range(21):
        np.testing.assert_allclose(found.keypoints[0, k], (xs[k], ys[k], 0.9), rtol=1e-6)
    assert found.scores[0] == pytest.approx(0.9)
    assert found.name(0) == ("right" if right > 0.5 else "left")


def test_without_a_hand_there_is_nothing():
    assert len(build({}, SIDES, (224, 224))(_hand(presence=0.4), None)) == 0
    assert len(build({"conf": 0.3}, SIDES, (224, 224))(_hand(presence=0.4), None)) == 1


def test_a_net_without_sides_has_one_class():
    outputs = _hand(right=1.0)
    del outputs["handedness"]
    assert build({}, ("hand",), (224, 224))(outputs, None).class_ids.tolist() == [0]


def test_points_land_in_the_frame():
    outputs = _hand()
    outputs["points"][0, :3] = (112, 28, 5)
    way = geometry((224, 448), Letterbox((224, 224), pad=0))
    found = build({}, SIDES, (224, 224))(outputs, way)
    # Half size, below 56 rows of padding, where a point may lie too.
    np.testing.assert_allclose(found.keypoints[0, 0, :2], (224, -56), rtol=1e-5)


def test_a_pose_says_how_visible_each_point_is_and_keeps_its_joints():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 3, (1, 195)).astype(np.float32)
    outputs = {"points": points, "presence": np.array([[0.7]], np.float32)}
    found = build({"values": 5, "keep": 33}, ("person",), (256, 256))(outputs, None)
    assert found.keypoints.shape == (1, 33, 3)
    for k in range(33):
        x, y, _, visible, _ = points[0, 5 * k : 5 * k + 5].tolist()
        expected = (x, y, 1 / (1 + math.exp(-visible)))
        np.testing.assert_allclose(found.keypoints[0, k], expected, rtol=1e-5)


def test_the_presence_of_a_face_is_a_logit():
    outputs = {
        "points": np.ones((1, 1, 1, 1404), np.float32),
        "presence": np.array([[[[2.0]]]], np.float32),
    }
    found = build({"presence_logit": True}, ("face",), (192, 192))(outputs, None)
    assert found.scores[0] == pytest.approx(1 / (1 + math.exp(-2)))
    assert found.keypoints.shape == (1, 468, 3)
    outputs["presence"][:] = -2
    assert len(build({"presence_logit": True}, ("face",), (192, 192))(outputs, None)) == 0


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("points", 3, np.nan), ("points", 62 - 1, np.inf), ("presence", 0, np.nan)],
)
def test_what_is_not_finite_is_no_hand(name, at, value):
    outputs = _hand()
    outputs[name][0, at] = value
    assert len(build({}, SIDES, (224, 224))(outputs, None)) == 0


def test_outputs_of_a_hand_are_told_by_their_numbers_whatever_their_order():
    shapes = {
        "Identity_3": (1, 63),
        "Identity_1": (1, 1),
        "Identity": (1, 63),
        "Identity_2": (1, 1),
    }
    match = recognise(Foreign({}, shapes, (224, 224)))
    assert match.outputs == {
        "points": "Identity",
        "presence": "Identity_1",
        "handedness": "Identity_2",
    }
    assert (match.labels, match.sure) == (("left", "right"), True)
    assert match.classes == 2
    del shapes["Identity_2"]
    assert recognise(Foreign({}, shapes, (224, 224))).labels == ("hand",)
    assert (match.mean, match.std) == ((0.0,) * 3, (255.0,) * 3)


def test_an_eye_has_its_iris_in_a_second_output_and_no_presence():
    shapes = {"contours": (1, 213), "iris": (1, 15)}
    match = recognise(Foreign({}, shapes, (64, 64)))
    assert (match.labels, match.sure) == (("eye",), True)
    values = {n: np.arange(s[1], dtype=np.float32)[None] / 4 for n, s in shapes.items()}
    decode = build(match.params, match.labels, (64, 64))
    found = decode({ours: values[theirs] for ours, theirs in match.outputs.items()}, None)
    assert found.keypoints.shape == (1, 76, 3)
    np.testing.assert_allclose(found.keypoints[0, 70:72, :2], [[52.5, 52.75], [0, 0.25]])
    del shapes["iris"]
    assert recognise(Foreign({}, shapes, (64, 64))) is None


def test_a_box_in_space_is_asked_for():
    shapes = {"Identity_1": (1, 18), "Identity": (1, 1)}
    match = recognise(Foreign({}, shapes, (224, 224)))
    assert not match.sure
    points = np.arange(18, dtype=np.float32)[None] * 10
    decode = build(match.params, match.labels, (224, 224))
    found = decode({"points": points, "presence": np.float32([[0.75]])}, None)
    assert match.outputs == {"points": "Identity_1", "presence": "Identity"}
    np.testing.assert_allclose(found.boxes, [[0, 10, 160, 170]])
    assert found.scores.tolist() == [0.75]


def test_names_of_a_hand_may_speak():
    shapes = {
        "world_landmarks": (1, 63),
        "screen_landmarks": (1, 63),
        "handedness": (1, 1),
        "score": (1, 1),
    }
    match = recognise(Foreign({}, shapes, (224, 224)))
    assert match.outputs == {
        "points": "screen_landmarks",
        "presence": "score",
        "handedness": "handedness",
    }
    nameless = dict(zip("qxyz", shapes.values(), strict=True))
    assert not recognise(Foreign({}, nameless, (224, 224))).sure


@pytest.mark.parametrize(
    ("shapes", "params"),
    [
        (
            {"conv2d_21": (1, 1, 1, 1404), "conv2d_31": (1, 1, 1, 1)},
            {"values": 3, "keep": 0, "presence_logit": True},
        ),
        (
            {
                "Identity": (1, 195),
                "Identity_1": (1, 1),
                "Identity_2": (1, 256, 256, 1),
                "Identity_3": (1, 64, 64, 39),
                "Identity_4": (1, 117),
            },
            {"values": 5, "keep": 33, "presence_logit": False},
        ),
    ],
)
def test_faces_and_poses_are_recognised(shapes, params):
    match = recognise(Foreign({}, shapes, (256, 256)))
    assert match.params == params
    assert list(match.outputs.values()) == list(shapes)[:2]
    assert match.classes == 1


def test_other_files_are_not_recognised():
    for shapes in ({"a": (1, 1000)}, {"a": (1, 63)}, {"a": (1, 63, 80), "b": (1, 1)}):
        assert recognise(Foreign({}, shapes, (224, 224))) is None


def test_other_shapes_are_refused():
    decode = build({}, SIDES, (224, 224))
    with pytest.raises(ModelError, match=r"points \(1, 64\).*needs \(1, K \* 3\)"):
        decode({**_hand(), "points": np.zeros((1, 64), np.float32)}, None)
    with pytest.raises(ModelError, match=r"presence \(1, 2\).*needs \(1, 1\)"):
        decode({**_hand(), "presence": np.zeros((1, 2), np.float32)}, None)
    with pytest.raises(ModelError, match="needs an output 'points'"):
        decode({"presence": np.zeros((1, 1), np.float32)}, None)
    with pytest.raises(ModelError, match="gives 21 points"):
        build({"keep": 33}, SIDES, (224, 224))(_hand(), None)
