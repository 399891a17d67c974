from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode.ltrb import build, centers
from edgenn.ops.preprocess import Letterbox, geometry

SIZE = (64, 96)
STRIDES = (8, 16, 32)
CELLS = 8 * 12 + 4 * 6 + 2 * 3
LABELS = ("a", "b", "c")


def _outputs(rng: np.random.Generator, bias: float = -2.0) -> dict[str, np.ndarray]:
    return {
        "boxes": rng.uniform(0, 4, (1, CELLS, 4)).astype(np.float32),
        "scores": rng.normal(bias, 1, (1, CELLS, 3)).astype(np.float32),
    }


def _plain(outputs: dict[str, np.ndarray], conf: float) -> set[tuple[float, ...]]:
    """Every box above the threshold, with loops and doubles; no suppression."""
    found, cell = set(), 0
    for stride in STRIDES:
        for row in range(SIZE[0] // stride):
            for column in range(SIZE[1] // stride):
                x, y = (column + 0.5) * stride, (row + 0.5) * stride
                left, top, right, bottom = (float(d) * stride for d in outputs["boxes"][0, cell])
                for class_id in range(len(LABELS)):
                    score = 1 / (1 + math.exp(-float(outputs["scores"][0, cell, class_id])))
                    if score >= conf:
                        box = (x - left, y - top, x + right, y + bottom)
                        found.add((*(round(v, 2) for v in (*box, score)), class_id))
                cell += 1
    return found


def _as_set(found) -> set[tuple[float, ...]]:
    rows = zip(found.boxes, found.scores, found.class_ids, strict=True)
    return {(*(round(float(v), 2) for v in (*box, score)), int(c)) for box, score, c in rows}


@pytest.mark.parametrize("seed", range(5))
def test_decoding_equals_a_plain_loop(seed):
    outputs = _outputs(np.random.default_rng(seed))
    keep_all = {"conf": 0.2, "iou": 1.0, "max_det": 1000, "candidates": 3000}
    found = build(keep_all, LABELS, SIZE)(outputs, None)
    expected = _plain(outputs, 0.2)
    assert len(expected) > 30
    assert _as_set(found) == expected
    assert (np.diff(found.scores) <= 0).all()
    assert found.labels == LABELS
    assert (found.boxes.dtype, found.scores.dtype) == (np.float32, np.float32)
    assert found.class_ids.dtype == np.int64


def test_boxes_land_in_the_frame():
    outputs = {
        "boxes": np.zeros((1, CELLS, 4), np.float32),
        "scores": np.full((1, CELLS, 3), -9, np.float32),
    }
    outputs["boxes"][0, 0] = (0.25, 0.25, 0.25, 0.25)
    outputs["scores"][0, 0, 1] = 9
    there = geometry((128, 192), Letterbox(SIZE))
    found = build({}, LABELS, SIZE)(outputs, there)
    np.testing.assert_allclose(found.boxes, [[4, 4, 12, 12]])
    assert found.name(0) == "b"


def test_only_the_best_candidates_are_suppressed_and_kept():
    outputs = _outputs(np.random.default_rng(9), bias=0.0)
    keep_all = {"conf": 0.0, "iou": 1.0, "max_det": 3000, "candidates": 3000}
    every = build(keep_all, LABELS, SIZE)(outputs, None)
    cut = build({**keep_all, "candidates": 17}, LABELS, SIZE)(outputs, None)
    assert len(every) == CELLS * 3
    np.testing.assert_array_equal(cut.scores, every.scores[:17])
    np.testing.assert_array_equal(cut.boxes, every.boxes[:17])


def test_overlapping_boxes_of_a_class_become_one():
    outputs = {
        "boxes": np.full((1, CELLS, 4), 2, np.float32),
        "scores": np.full((1, CELLS, 3), -9, np.float32),
    }
    outputs["scores"][0, 40, 0] = 3
    outputs["scores"][0, 41, 0] = 2
    outputs["scores"][0, 41, 1] = 1
    found = build({"iou": 0.5}, LABELS, SIZE)(outputs, None)
    assert found.class_ids.tolist() == [0, 1]


def test_nothing_above_the_threshold_is_no_detection():
    outputs = _outputs(np.random.default_rng(0), bias=-50)
    found = build({}, LABELS, SIZE)(outputs, None)
    assert len(found) == 0
    assert found.labels == LABELS


def test_thresholds_of_nought_and_one_are_possible():
    outputs = _outputs(np.random.default_rng(0), bias=0.0)
    assert len(build({"conf": 1.0}, LABELS, SIZE)(outputs, None)) == 0
    assert len(build({"conf": 0.0, "max_det": 7}, LABELS, SIZE)(outputs, None)) == 7


def test_a_side_that_the_stride_does_not_divide_gets_a_cell_more():
    points, scales = centers((20, 40), (16,))
    np.testing.assert_array_equal(points[:, 0], [8, 24, 40] * 2)
    np.testing.assert_array_equal(points[:, 1], [8] * 3 + [24] * 3)
    np.testing.assert_array_equal(scales, [[16]] * 6)


def test_tensors_of_another_shape_are_refused():
    outputs = _outputs(np.random.default_rng(0))
    with pytest.raises(ModelError, match=r"needs \(126, 4\) and \(126, 2\)"):
        build({}, LABELS[:2], SIZE)(outputs, None)


def test_windows_have_no_boxes():
    with pytest.raises(ModelError, match="the model takes windows"):
        build({}, LABELS, None)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"confs": 0.5}, "no parameter 'confs'; did you mean 'conf'?"),
        ({"conf": "high"}, "conf: "),
        ({"conf": 1.5}, "conf: "),
        ({"strides": []}, "strides: "),
        ({"strides": [8, 0]}, "strides.1: "),
        ({"candidates": 10**9}, "candidates: "),
        ({"max_det": 0}, "max_det: "),
    ],
)
def test_impossible_parameters_are_refused(params, reason):
    with pytest.raises(ModelError) as caught:
        build(params, LABELS, SIZE)
    assert reason in str(caught.value)


def test_a_class_may_have_its_own_threshold():
    outputs = _outputs(np.random.default_rng(9))
    base = {"conf": 0.2, "iou": 1.0, "max_det": 1000, "candidates": 3000}
    found = build({**base, "class_conf": {"b": 0.4}}, LABELS, SIZE)(outputs, None)
    strict = {row for row in _plain(outputs, 0.4) if row[5] == 1}
    expected = {row for row in _plain(outputs, 0.2) if row[5] != 1} | strict
    assert _as_set(found) == expected
    assert expected < _plain(outputs, 0.2)


def test_a_threshold_for_a_class_that_is_not_there_is_refused():
    with pytest.raises(ModelError, match="no class 'bb'"):
        build({"class_conf": {"bb": 0.4}}, LABELS, SIZE)
