from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.ultraface import build, recognise
from edgenn.ops.preprocess import Resize, geometry

SIZE, LABELS = (240, 320), ("face",)


def _outputs(seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    face = rng.uniform(0, 1, 4420)
    low = rng.uniform(0, 0.6, (4420, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.05, 0.4, (4420, 2))], 1)
    return {
        "scores": np.stack([1 - face, face], 1)[None].astype(np.float32),
        "boxes": boxes[None].astype(np.float32),
    }


def _overlap(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (both - w * h)


@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed):
    outputs = _outputs(seed)
    left = []
    for (_, face), (x1, y1, x2, y2) in zip(
        outputs["scores"][0].tolist(), outputs["boxes"][0].tolist(), strict=True
    ):
        if face >= 0.95:
            left.append((face, [x1 * 320, y1 * 240, x2 * 320, y2 * 240]))
    left.sort(key=lambda item: -item[0])
    expected: list[tuple[float, list[float]]] = []
    for score, box in left:
        if all(_overlap(box, kept) <= 0.3 for _, kept in expected):
            expected.append((score, box))
    found = build({"conf": 0.95}, LABELS, SIZE)(outputs, None)
    assert 5 < len(expected) < len(left)
    np.testing.assert_allclose(found.scores, [score for score, _ in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [box for _, box in expected], rtol=1e-4)


def test_boxes_land_in_the_frame():
    outputs = _outputs(0)
    outputs["scores"][:] = 0
    outputs["scores"][0, 7] = (0.1, 0.9)
    outputs["boxes"][0, 7] = (0.25, 0.5, 0.5, 1.0)
    found = build({}, LABELS, SIZE)(outputs, geometry((480, 1280), Resize(SIZE)))
    np.testing.assert_allclose(found.boxes, [[320, 240, 640, 480]], rtol=1e-6)
    assert found.name(0) == "face"


@pytest.mark.parametrize(("size", "number"), [((240, 320), 4420), ((480, 640), 17640)])
def test_either_order_is_recognised(size, number):
    shapes = {"a": (1, number, 4), "b": (1, number, 2)}
    for outputs in (shapes, dict(reversed(shapes.items()))):
        match = recognise(Foreign({}, outputs, size))
        assert match.outputs == {"boxes": "a", "scores": "b"}
        assert (match.fit, match.color, match.mean, match.std) == (
            "stretch",
            "rgb",
            (127.0,) * 3,
            (128.0,) * 3,
        )
    assert recognise(Foreign({}, shapes, (320, 320))) is None


def test_other_shapes_are_refused():
    outputs = _outputs(0)
    with pytest.raises(ModelError, match=r"needs \(1, 4420, 3\)"):
        build({}, ("face", "mask"), SIZE)(outputs, None)
    with pytest.raises(ModelError, match=r"needs \(1, 4420, 2\)"):
        build({}, LABELS, SIZE)({**outputs, "scores": outputs["scores"][:, 1:]}, None)
