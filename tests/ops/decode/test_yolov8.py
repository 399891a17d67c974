from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.yolov8 import build, fits, recognise
from edgenn.ops.preprocess import Letterbox, geometry

SIZE, LABELS = (64, 96), ("a", "b", "c")
CELLS = 8 * 12 + 4 * 6 + 2 * 3
KEEP_ALL = {"iou": 1.0, "max_det": 3000, "candidates": 3000}


def _columns(seed: int, extra: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 1, (4, CELLS)) * np.float32([[96], [64], [40], [30]])
    scores = rng.uniform(0, 1, (3, CELLS))
    more = rng.uniform(0, 60, (extra, CELLS))
    return np.concatenate([places, scores, more])[None].astype(np.float32)


def _plain(columns: np.ndarray, conf: float) -> list[tuple[float, ...]]:
    """Corners, score, class and all that follows of every box above the threshold."""
    found = []
    for cell in range(columns.shape[2]):
        x, y, w, h, a, b, c, *more = (float(v) for v in columns[0, :, cell])
        for class_id, score in enumerate((a, b, c)):
            if score >= conf:
                box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                found.append((*box, score, class_id, *more))
    return sorted(found, key=lambda f: -f[4])


def _told(found) -> np.ndarray:
    return np.column_stack([found.boxes, found.scores, found.class_ids])


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed, transposed):
    columns = _columns(seed)
    given = columns.transpose(0, 2, 1) if transposed else columns
    found = build({**KEEP_ALL, "conf": 0.6}, LABELS, SIZE)({"rows": given}, None)
    expected = _plain(columns, 0.6)
    assert 50 < len(expected) < 3 * CELLS
    np.testing.assert_allclose(_told(found), expected, atol=1e-4)


@pytest.mark.parametrize("normalized", [None, True])
def test_boxes_on_0_to_1_come_back_as_those_in_pixels(normalized):
    columns = _columns(0)
    unit = columns.copy()
    unit[0, :4] /= np.float32([[96], [64], [96], [64]])
    expected = build({}, LABELS, SIZE)({"rows": columns}, None)
    found = build({"normalized": normalized}, LABELS, SIZE)({"rows": unit}, None)
    assert len(found) > 10
    np.testing.assert_allclose(_told(found), _told(expected), atol=1e-3)


def test_the_first_frame_with_boxes_settles_what_their_unit_is():
    decode = build({}, LABELS, SIZE)
    nothing = np.zeros((1, 7, CELLS), np.float32)
    assert len(decode({"rows": nothing}, None)) == 0
    assert decode({"rows": _columns(0)}, None).boxes.max() > 10
    nothing[0, :, 0] = (1, 1, 1, 1, 0.9, 0, 0)
    # A tiny box of a file that gives pixels stays one.
    np.testing.assert_allclose(decode({"rows": nothing}, None).boxes, [[0.5, 0.5, 1.5, 1.5]])


@pytest.mark.parametrize("each", [2, 3])
@pytest.mark.parametrize("unit", [False, True])
def test_key_points_of_a_pose_equal_a_plain_loop(each, unit):
    columns = _columns(1, 5 * each)
    if each == 3:
        columns[0, 7 + 2 :: 3] /= 60
    expected = np.array(_plain(columns, 0.5))
    if unit:
        columns[0, :4] /= np.float32([[96], [64], [96], [64]])
        columns[0, 7::each] /= 96
        columns[0, 8::each] /= 64
    decode = build({**KEEP_ALL, "conf": 0.5, "keypoints": (5, each)}, LABELS, SIZE)
    found = decode({"rows": columns}, None)
    np.testing.assert_allclose(_told(found), expected[:, :6], atol=1e-3)
    points = expected[:, 6:].reshape(-1, 5, each)
    np.testing.assert_allclose(found.keypoints[..., :2], points[..., :2], atol=1e-3)
    seen = points[..., 2] if each == 3 else np.ones(points.shape[:2])
    np.testing.assert_allclose(found.keypoints[..., 2], seen, atol=1e-3)


def test_masks_are_left_out():
    columns = _columns(2, 32)
    found = build({"rest": 32}, LABELS, SIZE)({"rows": columns}, None)
    without = build({}, LABELS, SIZE)({"rows": columns[:, :7]}, None)
    assert len(found) > 10
    np.testing.assert_array_equal(_told(found), _told(without))
    assert found.keypoints is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_broken_boxes_are_dropped_and_no_others(bad):
    columns = _columns(3)
    decode = build({**KEEP_ALL, "conf": 0.5}, LABELS, SIZE)
    columns[0, 2, ::2] = bad
    columns[0, 5, ::3] = bad if np.isinf(bad) else np.nan
    found = decode({"rows": columns}, None)
    fine = columns.copy()
    fine[0, 4:, ::2] = 0
    fine[0, 5, ::3] = 0
    np.testing.assert_allclose(_told(found), _plain(fine, 0.5), atol=1e-3)


def test_scores_without_end_take_no_place_of_the_sound_ones():
    columns = _columns(3)
    columns[0, 4, :100] = np.inf
    found = build({"candidates": 20, "iou": 1.0}, LABELS, SIZE)({"rows": columns}, None)
    assert len(found) == 20


def test_of_two_that_overlap_the_better_stays_and_lands_in_the_frame():
    columns = np.zeros((1, 7, CELLS), np.float32)
    columns[0, :, 3] = (32, 16, 16, 8, 0.1, 0.9, 0)
    columns[0, :, 4] = (33, 16, 16, 8, 0.1, 0.8, 0)
    way = geometry((128, 192), Letterbox(SIZE))
    found = build({}, LABELS, SIZE)({"rows": columns}, way)
    np.testing.assert_allclose(found.boxes, [[48, 24, 80, 40]], atol=1e-3)
    assert found.name(0) == "b"


@pytest.mark.parametrize(
    ("size", "shapes", "metadata", "classes", "params"),
    [
        (640, {"a": (1, 84, 8400)}, {}, 80, {}),
        (640, {"a": (1, 8400, 84)}, {}, 80, {}),
        (320, {"a": (1, 7, 2100)}, {"task": "detect"}, 3, {}),
        (1280, {"a": (1, 84, 34000)}, {}, 80, {}),
        (640, {"a": (1, 84, 34000)}, {}, 80, {}),
        # Channels first is of no other toolkit, and so many columns are of a pose.
        (640, {"a": (1, 7, 8400)}, {}, 3, {}),
        (640, {"a": (1, 56, 8400)}, {}, 1, {"keypoints": (17, 3), "rest": 0}),
        (
            640,
            {"a": (1, 56, 8400)},
            {"task": "pose", "kpt_shape": "[17, 3]"},
            1,
            {"keypoints": (17, 3), "rest": 0},
        ),
        (
            640,
            {"a": (1, 116, 8400), "b": (1, 32, 160, 160)},
            {"task": "segment"},
            80,
            {"keypoints": (0, 3), "rest": 32},
        ),
    ],
)
def test_what_ultralytics_exports_is_recognised(size, shapes, metadata, classes, params):
    match = recognise(Foreign({}, shapes, (size, size), metadata=metadata))
    assert match.outputs == {"rows": "a"}
    assert (match.classes, match.params) == (classes, params)
    assert match.sure
    assert (match.fit, match.color, match.std) == ("letterbox", "rgb", (255.0,) * 3)


@pytest.mark.parametrize(
    ("shape", "metadata"),
    [
        ((1, 20, 8400), {"task": "obb"}),
        ((1, 84, 8401), {}),
        ((1, 4, 8400), {}),
        ((2, 84, 8400), {}),
        ((1, 20, 8400), {"task": "pose", "kpt_shape": "[17, 3]"}),
    ],
)
def test_other_files_are_not_recognised(shape, metadata):
    assert recognise(Foreign({}, {"a": shape}, (640, 640), metadata=metadata)) is None


@pytest.mark.parametrize("text", ["", "[17", "17", "[17, 9]", "[-1, 3]", "(" * 500, "['a', 3]"])
def test_a_damaged_number_of_key_points_is_ignored(text):
    file = Foreign({}, {"a": (1, 56, 8400)}, (640, 640), 0, {"task": "pose", "kpt_shape": text})
    assert recognise(file).classes == 52


@pytest.mark.parametrize("shape", [(1, 8, CELLS), (7, CELLS), (2, 7, CELLS), (1, 7, 0)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ModelError, match="the yolov8 layout needs"):
        build({}, LABELS, SIZE)({"rows": np.zeros(shape, np.float32)}, None)


@pytest.mark.parametrize(
    ("column", "value", "good"), [(0, 600, True), (6, 1.02, True), (6, -0.7, False)]
)
def test_scores_beyond_nought_and_one_speak_against_it(column, value, good):
    """As the angle of turned boxes in the last column does."""
    match = recognise(Foreign({}, {"a": (1, 7, CELLS)}, SIZE))
    values = np.zeros((1, 7, CELLS), np.float32)
    values[0, column, 5] = value
    assert fits(match, [{"rows": values}]) == good
