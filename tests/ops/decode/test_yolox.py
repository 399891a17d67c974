from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.yolox import build, recognise, settle, shows
from edgenn.ops.preprocess import Letterbox, geometry

SIZE, STRIDES, LABELS = (64, 96), (8, 16, 32), ("a", "b")
CELLS = 8 * 12 + 4 * 6 + 2 * 3


def _rows(rng: np.random.Generator) -> np.ndarray:
    places = rng.normal(0.5, 0.3, (CELLS, 2))
    sides = rng.normal(0.5, 0.4, (CELLS, 2))
    return np.concatenate([places, sides, rng.random((CELLS, 3))], 1).astype(np.float32)[None]


def _plain(rows: np.ndarray, conf: float) -> set[tuple[float, ...]]:
    """Every box above the threshold, with loops and doubles; no suppression."""
    found, cell = set(), 0
    for stride in STRIDES:
        for row in range(SIZE[0] // stride):
            for column in range(SIZE[1] // stride):
                x, y, w, h, there, *classes = (float(v) for v in rows[0, cell])
                cx, cy = (column + x) * stride, (row + y) * stride
                w, h = math.exp(w) * stride, math.exp(h) * stride
                for class_id, score in enumerate(classes):
                    if there * score >= conf:
                        box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
                        found.add((*(round(v, 1) for v in box), round(there * score, 3), class_id))
                cell += 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed):
    rows = _rows(np.random.default_rng(seed))
    keep_all = {"conf": 0.3, "iou": 1.0, "max_det": 1000, "candidates": 3000}
    found = build(keep_all, LABELS, SIZE)({"rows": rows}, None)
    expected = _plain(rows, 0.3)
    assert len(found) == len(expected) > 30
    told = np.array(sorted(expected))
    boxes = np.column_stack([found.boxes, found.scores, found.class_ids])
    # Nearest partner of each, both ways: rounding may swap neighbours in a sorted list.
    apart = np.abs(told[:, None] - boxes[None]).max(2)
    assert apart.min(0).max() < 0.06
    assert apart.min(1).max() < 0.06


def test_boxes_come_back_to_the_frame():
    rows = np.zeros((1, CELLS, 7), np.float32)
    rows[0, 0] = (1.0, 1.0, math.log(2), math.log(2), 1.0, 0.9, 0.1)
    way = geometry((128, 192), Letterbox(SIZE, align="start"))
    found = build({}, LABELS, SIZE)({"rows": rows}, way)
    assert found.boxes[0] == pytest.approx([0, 0, 32, 32], abs=1e-3)
    assert found.name(0) == "a"


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match="needs"):
        build({}, LABELS, SIZE)({"rows": np.zeros((1, 7, 7), np.float32)}, None)


def _decoded(rows: np.ndarray) -> np.ndarray:
    """The same boxes in net pixels, cell by cell."""
    out, cell = rows.copy(), 0
    for stride in STRIDES:
        for row in range(SIZE[0] // stride):
            for column in range(SIZE[1] // stride):
                out[0, cell, :2] = (out[0, cell, :2] + (column, row)) * stride
                out[0, cell, 2:4] = np.exp(out[0, cell, 2:4]) * stride
                cell += 1
    return out


def test_boxes_in_pixels_are_told_from_boxes_in_cells():
    rows = _rows(np.random.default_rng(1))
    match = recognise(Foreign({}, {"output": rows.shape}, SIZE, 2))
    assert match is not None
    found = []
    for values, decoded in ((rows, False), (_decoded(rows), True)):
        settled, _ = settle(match, [{"rows": values}] * 3, SIZE)
        assert settled.params["decoded"] == decoded
        found.append(build(settled.params, LABELS, SIZE)({"rows": values}, None))
    assert len(found[0]) > 10
    np.testing.assert_allclose(found[0].boxes, found[1].boxes, atol=1e-3)


def test_rows_that_change_from_picture_to_picture_are_refused_in_words():
    match = recognise(Foreign({}, {"y": (1, 21, 8)}, (32, 32)))
    samples = [{"rows": np.full((1, n, 8), -0.5, np.float32)} for n in (21, 20)]
    with pytest.raises(ModelError, match="rows of another shape for each picture"):
        shows(match, samples, (32, 32))
