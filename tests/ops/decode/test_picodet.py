from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.picodet import build, recognise

SIZE, LABELS = (64, 100), ("a", "b")
CELLS = {8: (8, 13), 16: (4, 7), 32: (2, 4), 64: (1, 2)}
KEEP_ALL = {"iou": 1.0, "max_det": 3000, "candidates": 3000}


def _outputs(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {}
    for stride, (height, width) in CELLS.items():
        count = height * width
        found[f"scores_{stride}"] = rng.uniform(0, 1, (1, count, 2)).astype("f") ** 2
        found[f"boxes_{stride}"] = rng.normal(0, 3, (1, count, 32)).astype("f")
    return found


def _distance(logits: list[float]) -> float:
    powers = [math.exp(v) for v in logits]
    return sum(i * power for i, power in enumerate(powers)) / sum(powers)


def _plain(outputs: dict[str, np.ndarray]) -> list[tuple[float, ...]]:
    found = []
    for stride, (height, width) in CELLS.items():
        for i in range(height * width):
            logits = outputs[f"boxes_{stride}"][0, i].tolist()
            left, top, right, bottom = (
                _distance(logits[8 * side : 8 * side + 8]) * stride for side in range(4)
            )
            x, y = (i % width + 0.5) * stride, (i // width + 0.5) * stride
            for class_id, score in enumerate(outputs[f"scores_{stride}"][0, i].tolist()):
                if score >= 0.5:
                    found.append((x - left, y - top, x + right, y + bottom, score, class_id))
    return sorted(found, key=lambda f: -f[4])


@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed):
    outputs = _outputs(seed)
    found = build({**KEEP_ALL, "conf": 0.5}, LABELS, SIZE)(outputs, None)
    expected = _plain(outputs)
    assert 30 < len(expected) < 200
    told = np.column_stack([found.boxes, found.scores, found.class_ids])
    np.testing.assert_allclose(told, expected, rtol=1e-4, atol=2e-3)


def test_the_best_of_all_grids_are_kept_where_there_are_too_many():
    outputs = _outputs(0)
    found = build({**KEEP_ALL, "conf": 0.1, "candidates": 10}, LABELS, SIZE)(outputs, None)
    np.testing.assert_allclose(found.scores, [f[4] for f in _plain(outputs)[:10]], rtol=1e-6)


def _shapes(counts, classes: int, numbers: int = 32) -> dict[str, tuple[int, ...]]:
    """As Paddle orders them: all scores, then all boxes."""
    named = {f"s{i}": (1, n, classes) for i, n in enumerate(counts)}
    return named | {f"b{i}": (1, n, numbers) for i, n in enumerate(counts)}


@pytest.mark.parametrize("classes", [80, 1, 3, 32])
def test_the_outputs_are_told_apart_by_shape_or_order(classes):
    shapes = _shapes((1600, 400, 100, 25), classes)
    match = recognise(Foreign({}, shapes, (320, 320), classes))
    assert match.sure
    assert match.classes == classes
    assert match.params == {"strides": (8, 16, 32, 64), "reach": 7}
    strides = (8, 16, 32, 64)
    assert match.outputs == {f"scores_{s}": f"s{i}" for i, s in enumerate(strides)} | {
        f"boxes_{s}": f"b{i}" for i, s in enumerate(strides)
    }
    assert (match.fit, match.color) == ("stretch", "rgb")
    assert match.mean == pytest.approx((123.675, 116.28, 103.53))


@pytest.mark.parametrize("order", list(permutations(range(6)))[::97])
def test_the_first_nanodet_is_found_in_any_order(order):
    shapes = _shapes((1600, 400, 100), 80, 44)
    listed = list(shapes.items())
    match = recognise(Foreign({}, dict(listed[i] for i in order), (320, 320)))
    assert match.outputs["scores_16"] == "s1"
    assert match.outputs["boxes_32"] == "b2"
    assert match.params == {"strides": (8, 16, 32), "reach": 10}
    assert (match.fit, match.color) == ("letterbox", "bgr")


@pytest.mark.parametrize(
    "shapes",
    [
        _shapes((1600, 400, 100, 24), 80),
        _shapes((1600, 400), 80),
        _shapes((1600, 400, 100), 3, 7),
        {**_shapes((1600, 400, 100), 80), "s2": (1, 100, 81)},
    ],
)
def test_other_files_are_not_recognised(shapes):
    assert recognise(Foreign({}, shapes, (320, 320))) is None


def test_other_shapes_are_refused():
    outputs = _outputs(0)
    with pytest.raises(ModelError, match=r"boxes_16 .* needs \(1, 28, 32\)"):
        build({}, LABELS, SIZE)({**outputs, "boxes_16": outputs["boxes_8"]}, None)
    with pytest.raises(ModelError, match="needs an output 'scores_64'"):
        build({}, LABELS, SIZE)({k: v for k, v in outputs.items() if k != "scores_64"}, None)


@pytest.mark.parametrize("seed", range(3))
def test_decoded_boxes_are_taken_as_they_are(seed):
    rng = np.random.default_rng(seed)
    count = sum(height * width for height, width in CELLS.values())
    low = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(2, 14, (count, 2))], 1).astype("f")
    scores = rng.uniform(0, 1, (2, count)).astype("f") ** 4
    outputs = {"boxes": boxes[None], "scores": scores[None]}
    found = build({**KEEP_ALL, "form": "decoded", "conf": 0.5}, LABELS, SIZE)(outputs, None)
    expected = [
        (*boxes[i].tolist(), scores[c, i], c)
        for c in range(2)
        for i in range(count)
        if scores[c, i] >= 0.5
    ]
    told = np.column_stack([found.boxes, found.scores, found.class_ids])
    np.testing.assert_allclose(told, sorted(expected, key=lambda f: -f[4]), rtol=1e-5)
    with pytest.raises(ModelError, match="scores"):
        build({"form": "decoded"}, ("a",), SIZE)(outputs, None)
