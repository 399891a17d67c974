from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.yolov5 import build, fits, recognise
from edgenn.ops.preprocess import Letterbox, geometry

SIZE, LABELS = (64, 96), ("a", "b", "c")
CELLS = 8 * 12 + 4 * 6 + 2 * 3
ROWS = 3 * (8 * 12 + 4 * 6 + 2 * 3)
KEEP_ALL = {"iou": 1.0, "max_det": 3000, "candidates": 3000}


def _rows(seed: int, rest: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 1, (ROWS, 4)) * (96, 64, 40, 30)
    scores = rng.uniform(0, 1, (ROWS, 4))
    return np.concatenate([places, scores, rng.normal(size=(ROWS, rest))], 1)[None].astype("f")


def _plain(rows: np.ndarray, conf: float) -> list[tuple[float, ...]]:
    found = []
    for x, y, w, h, there, *classes in rows[0].tolist():
        for class_id, score in enumerate(classes[:3]):
            if there * score >= conf:
                box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                found.append((*box, there * score, class_id))
    return sorted(found, key=lambda f: -f[4])


def _told(found) -> np.ndarray:
    return np.column_stack([found.boxes, found.scores, found.class_ids])


@pytest.mark.parametrize("rest", [0, 32])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed, rest):
    rows = _rows(seed, rest)
    decode = build({**KEEP_ALL, "conf": 0.3, "rest": rest}, LABELS, SIZE)
    expected = _plain(rows, 0.3)
    assert 100 < len(expected) < 3 * ROWS
    np.testing.assert_allclose(_told(decode({"rows": rows}, None)), expected, atol=1e-3)


@pytest.mark.parametrize("normalized", [None, True])
def test_boxes_on_0_to_1_come_back_as_those_in_pixels(normalized):
    rows = _rows(0)
    unit = rows.copy()
    unit[..., :4] /= (96, 64, 96, 64)
    expected = build({}, LABELS, SIZE)({"rows": rows}, None)
    found = build({"normalized": normalized}, LABELS, SIZE)({"rows": unit}, None)
    assert len(found) > 10
    np.testing.assert_allclose(_told(found), _told(expected), atol=1e-3)


def test_of_two_that_overlap_the_better_stays_and_lands_in_the_frame():
    rows = np.zeros((1, ROWS, 8), np.float32)
    rows[0, 3] = (32, 16, 16, 8, 0.9, 0.1, 0.9, 0)
    rows[0, 4] = (33, 16, 16, 8, 0.9, 0.1, 0.8, 0)
    way = geometry((128, 192), Letterbox(SIZE))
    found = build({}, LABELS, SIZE)({"rows": rows}, way)
    np.testing.assert_allclose(found.boxes, [[48, 24, 80, 40]], atol=1e-3)
    assert found.name(0) == "b"
    assert found.scores[0] == pytest.approx(0.81)


@pytest.mark.parametrize(
    ("size", "shapes", "classes", "rest"),
    [
        ((640, 640), {"output0": (1, 25200, 85)}, 80, 0),
        ((640, 640), {"a": (1, 25200, 8), "b": (1, 3, 80, 80, 8)}, 3, 0),
        ((640, 640), {"a": (1, 25200, 117), "b": (1, 32, 160, 160)}, 80, 32),
        ((1280, 1280), {"output0": (1, 102000, 85)}, 80, 0),
        ((384, 640), {"output": (1, 15120, 6)}, 1, 0),
    ],
)
def test_what_its_exports_give_is_recognised(size, shapes, classes, rest):
    match = recognise(Foreign({}, shapes, size))
    assert match.outputs == {"rows": next(iter(shapes))}
    assert match.classes == classes
    assert match.params.get("rest", 0) == rest
    assert match.sure
    assert (match.fit, match.color, match.std) == ("letterbox", "rgb", (255.0,) * 3)


@pytest.mark.parametrize("shape", [(1, 8401, 85), (1, 25200, 5), (1, 85, 25200), (25200, 85)])
def test_other_shapes_are_not_recognised(shape):
    assert recognise(Foreign({}, {"a": shape}, (640, 640))) is None


def test_a_row_for_each_cell_may_be_a_yolox_unless_it_is_named_as_by_yolov6():
    shape = (1, 8400, 85)
    assert not recognise(Foreign({}, {"output": shape}, (640, 640))).sure
    assert recognise(Foreign({}, {"outputs": shape}, (640, 640))).sure


@pytest.mark.parametrize("shape", [(1, ROWS, 7), (ROWS, 0), (2, ROWS, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ModelError, match=r"the yolov5 layout needs \(1, N, 8\)"):
        build({}, LABELS, SIZE)({"rows": np.zeros(shape, np.float32)}, None)


@pytest.mark.parametrize(
    ("column", "value", "good"), [(0, 90, True), (7, 90, False), (9, 90, True)]
)
def test_places_of_key_points_among_the_scores_speak_against_it(column, value, good):
    shapes = {"a": (1, 3 * CELLS, 8 + 32), "b": (1, 32, 16, 24)}
    match = recognise(Foreign({}, shapes, SIZE))
    values = np.zeros(shapes["a"], np.float32)
    values[0, 5, column] = value
    assert fits(match, [{"rows": values}]) == good


def test_scores_beside_boxes_are_of_another_layout():
    shapes = {"boxes": (1, 10647, 1, 4), "confs": (1, 10647, 80)}
    assert recognise(Foreign({}, shapes, (416, 416))) is None
