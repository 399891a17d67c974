from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.nanodet import build, recognise
from edgenn.ops.preprocess import Resize, geometry

LABELS = ("a", "b")
KEEP_ALL = {"iou": 1.0, "max_det": 3000, "candidates": 3000}
# 100 is no multiple of the strides: grids cover the rest too.
SIZE = (64, 100)
CELLS = {8: (8, 13), 16: (4, 7), 32: (2, 4), 64: (1, 2)}


def _rows(seed: int, strides: tuple[int, ...], reach: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    count = sum(CELLS[s][0] * CELLS[s][1] for s in strides)
    scores = rng.uniform(0, 1, (count, 2)) ** 2
    logits = rng.normal(0, 3, (count, 4 * (reach + 1)))
    return np.concatenate([scores, logits], 1)[None].astype(np.float32)


def _distance(logits: list[float]) -> float:
    powers = [math.exp(v) for v in logits]
    return sum(i * power for i, power in enumerate(powers)) / sum(powers)


def _plain(rows: np.ndarray, strides, reach: int, offset: float) -> list[tuple[float, ...]]:
    found, row = [], 0
    for stride in strides:
        for y in range(CELLS[stride][0]):
            for x in range(CELLS[stride][1]):
                values = rows[0, row].tolist()
                n = reach + 1
                left, top, right, bottom = (
                    _distance(values[2 + n * i : 2 + n * (i + 1)]) * stride for i in range(4)
                )
                cx, cy = (x + offset) * stride, (y + offset) * stride
                for class_id, score in enumerate(values[:2]):
                    if score >= 0.5:
                        box = (cx - left, cy - top, cx + right, cy + bottom)
                        found.append((*box, score, class_id))
                row += 1
    return sorted(found, key=lambda f: -f[4])


@pytest.mark.parametrize(
    ("strides", "reach", "offset"),
    [((8, 16, 32, 64), 7, 0.0), ((8, 16, 32), 7, 0.5), ((8, 16, 32), 10, 0.5)],
)
@pytest.mark.parametrize("seed", range(2))
def test_decoding_equals_a_plain_loop(seed, strides, reach, offset):
    rows = _rows(seed, strides, reach)
    params = {**KEEP_ALL, "conf": 0.5, "strides": strides, "reach": reach, "offset": offset}
    found = build(params, LABELS, SIZE)({"rows": rows}, None)
    expected = _plain(rows, strides, reach, offset)
    assert 30 < len(expected) < rows.shape[1]
    told = np.column_stack([found.boxes, found.scores, found.class_ids])
    np.testing.assert_allclose(told, expected, rtol=1e-4, atol=2e-3)


def test_a_box_lands_in_the_frame():
    rows = np.zeros((1, 40, 34), np.float32)
    # The second row of the grid of stride 16: corner 0, 16; two cells to each side.
    rows[0, 16 + 8, 1] = 0.9
    rows[0, 16 + 8, 2 + 2 :: 8] = 40
    found = build({"strides": (16, 32)}, LABELS, (128, 64))
    with pytest.raises(ModelError, match=r"needs \(1, 40, 34\)"):
        found({"rows": rows[:, :39]}, None)
    rows = np.zeros((1, 40, 34), np.float32)
    rows[0, 4 * 3 + 2, 1] = 0.9
    rows[0, 4 * 3 + 2, 4::8] = 40
    told = found({"rows": rows}, geometry((256, 64), Resize((128, 64))))
    # Corner 32, 48, two cells of 16 to every side, and twice as high.
    np.testing.assert_allclose(told.boxes, [[0, 32, 64, 160]], atol=1e-3)
    assert told.name(0) == "b"


@pytest.mark.parametrize(
    ("size", "shape", "labels", "classes", "reach", "strides", "offset"),
    [
        (320, (1, 2125, 112), 0, 80, 7, (8, 16, 32, 64), 0.0),
        (416, (1, 3598, 112), 0, 80, 7, (8, 16, 32, 64), 0.0),
        (320, (1, 2100, 112), 0, 80, 7, (8, 16, 32), 0.5),
        (416, (1, 3549, 124), 0, 80, 10, (8, 16, 32), 0.5),
        (320, (1, 2125, 35), 3, 3, 7, (8, 16, 32, 64), 0.0),
        (320, (1, 2125, 47), 3, 3, 10, (8, 16, 32, 64), 0.0),
    ],
)
def test_both_nets_are_recognised(size, shape, labels, classes, reach, strides, offset):
    match = recognise(Foreign({}, {"output": shape}, (size, size), labels))
    assert match.sure
    assert match.classes == classes
    assert match.params == {"strides": strides, "reach": reach, "offset": offset}
    assert match.color == "bgr"
    # As the originals are trained: one with stretched, one with padded pictures.
    assert match.fit == ("stretch" if len(strides) == 4 else "letterbox")
    assert match.mean == pytest.approx((103.53, 116.28, 123.675))


def test_columns_that_fit_no_known_number_of_classes_are_a_guess():
    assert not recognise(Foreign({}, {"a": (1, 2125, 35)}, (320, 320))).sure
    assert not recognise(Foreign({}, {"a": (1, 2125, 112)}, (320, 320), 5)).sure
    assert recognise(Foreign({}, {"a": (1, 2125, 32)}, (320, 320))) is None
    assert recognise(Foreign({}, {"a": (1, 2124, 112)}, (320, 320))) is None
