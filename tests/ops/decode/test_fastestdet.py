from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.fastestdet import build, fits, recognise
from edgenn.ops.preprocess import Resize, geometry

SIZE, LABELS = (64, 96), ("a", "b", "c")
KEEP_ALL = {"iou": 1.0, "max_det": 3000}


def _map(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet((0.3,) * 3, (4, 6)).transpose(2, 0, 1)
    parts = [rng.uniform(0, 1, (1, 4, 6)), rng.normal(0, 1.5, (4, 4, 6)), shares]
    return np.concatenate(parts)[None].astype(np.float32)


def _plain(values: np.ndarray, conf: float) -> list[tuple[float, ...]]:
    found = []
    for row in range(4):
        for column in range(6):
            there, x, y, w, h, *classes = (float(v) for v in values[0, :, row, column])
            score = there**0.6 * max(classes) ** 0.4
            if score >= conf:
                x, y = (column + math.tanh(x)) * 16, (row + math.tanh(y)) * 16
                w, h = 96 / (1 + math.exp(-w)), 64 / (1 + math.exp(-h))
                box = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
                found.append((*box, score, classes.index(max(classes))))
    return sorted(found, key=lambda f: -f[4])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed, last):
    values = _map(seed)
    expected = _plain(values, 0.5)
    assert 5 < len(expected) < 24
    given = values.transpose(0, 2, 3, 1) if last else values
    found = build({**KEEP_ALL, "conf": 0.5}, LABELS, SIZE)({"map": given}, None)
    told = np.column_stack([found.boxes, found.scores, found.class_ids])
    np.testing.assert_allclose(told, expected, atol=1e-3)


def test_a_box_lands_in_the_frame():
    values = np.zeros((1, 8, 4, 6), np.float32)
    values[0, :, 2, 3] = (0.9, 0, 0, 0, 0, 0.1, 0.8, 0.1)
    way = geometry((128, 960), Resize(SIZE))
    found = build({}, LABELS, SIZE)({"map": values}, way)
    # Half of the picture around the corner of the cell, ten times as wide and twice as high.
    np.testing.assert_allclose(found.boxes, [[240, 32, 720, 96]], atol=1e-3)
    assert found.name(0) == "b"


@pytest.mark.parametrize(
    ("shape", "labels", "sure"),
    [
        ((1, 85, 22, 22), 0, True),
        ((1, 22, 22, 85), 0, True),
        ((1, 8, 22, 22), 3, True),
        ((1, 8, 22, 22), 0, False),
        ((1, 85, 22, 22), 3, False),
    ],
)
def test_a_map_of_its_grid_is_recognised(shape, labels, sure):
    match = recognise(Foreign({}, {"758": shape}, (352, 352), labels))
    assert match.outputs == {"map": "758"}
    assert match.classes == max(n for n in shape if n != 22) - 5
    assert match.sure == sure
    assert (match.fit, match.color, match.std) == ("stretch", "bgr", (255.0,) * 3)


@pytest.mark.parametrize("shape", [(1, 85, 44, 44), (1, 5, 22, 22), (1, 85, 22), (2, 85, 22, 22)])
def test_other_shapes_are_not_recognised(shape):
    assert recognise(Foreign({}, {"a": shape}, (352, 352))) is None


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match=r"fastestdet layout needs \(1, 8, 4, 6\)"):
        build({}, LABELS, SIZE)({"map": np.zeros((1, 8, 6, 4), np.float32)}, None)


@pytest.mark.parametrize("planar", [True, False])
@pytest.mark.parametrize(
    ("plane", "good"), [(0, False), (1, True), (4, True), (5, False), (7, False)]
)
def test_a_map_whose_shares_are_none_is_of_another_net(plane, good, planar):
    values = _map(0)
    values[0, plane, 2, 3] = -1.5
    values = values if planar else values.transpose(0, 2, 3, 1)
    match = recognise(Foreign({}, {"y": values.shape}, SIZE, 3))
    assert fits(match, [{"map": values}]) == good
