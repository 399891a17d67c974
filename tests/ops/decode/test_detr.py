from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.detr import build, recognise
from edgenn.ops.preprocess import Resize, geometry

SIZE, LABELS = (320, 640), ("a", "b", "c")


def _outputs(columns: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "logits": rng.normal(-1, 2, (1, 50, columns)).astype(np.float32),
        "boxes": rng.uniform(0.1, 0.9, (1, 50, 4)).astype(np.float32),
    }


def _plain(outputs: dict[str, np.ndarray], softmax: bool, conf: float) -> list[tuple[float, ...]]:
    found = []
    for logits, (x, y, w, h) in zip(
        outputs["logits"][0].tolist(), outputs["boxes"][0].tolist(), strict=True
    ):
        box = ((x - w / 2) * 640, (y - h / 2) * 320, (x + w / 2) * 640, (y + h / 2) * 320)
        if softmax:
            total = sum(math.exp(v) for v in logits)
            shares = [math.exp(v) / total for v in logits[:-1]]
            pairs = [(max(shares), shares.index(max(shares)))]
        else:
            pairs = [(1 / (1 + math.exp(-v)), c) for c, v in enumerate(logits)]
        found += [(*box, s, c) for s, c in pairs if s >= conf]
    return sorted(found, key=lambda f: -f[4])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_decoding_equals_a_plain_loop(seed, activation):
    outputs = _outputs(3 + (activation == "softmax"), seed)
    found = build({"activation": activation}, LABELS, SIZE)(outputs, None)
    expected = _plain(outputs, activation == "softmax", 0.5)
    assert len(expected) > 10
    told = np.column_stack([found.boxes, found.scores, found.class_ids])
    np.testing.assert_allclose(told, expected, rtol=1e-3, atol=1e-3)


def test_boxes_land_in_the_frame():
    outputs = _outputs(3)
    outputs["logits"][:] = -9
    outputs["logits"][0, 4, 1] = 9
    outputs["boxes"][0, 4] = (0.5, 0.25, 0.2, 0.5)
    found = build({}, LABELS, SIZE)(outputs, geometry((100, 1000), Resize(SIZE)))
    np.testing.assert_allclose(found.boxes, [[400, 0, 600, 50]], atol=1e-3)
    assert found.name(0) == "b"


@pytest.mark.parametrize(
    ("queries", "columns", "labels", "classes", "activation"),
    [
        (100, 92, 0, 91, "softmax"),
        (300, 80, 0, 80, "sigmoid"),
        (300, 91, 0, 91, "sigmoid"),
        (300, 4, 3, 3, "softmax"),
        (100, 3, 3, 3, "sigmoid"),
    ],
)
def test_what_the_columns_are_is_told_by_labels_or_the_published_nets(
    queries, columns, labels, classes, activation
):
    shapes = {"pred_boxes": (1, queries, 4), "logits": (1, queries, columns)}
    match = recognise(Foreign({}, shapes, SIZE, labels))
    assert match.outputs == {"boxes": "pred_boxes", "logits": "logits"}
    assert (match.classes, match.params["activation"]) == (classes, activation)
    assert match.sure


def test_without_names_it_is_only_a_guess():
    assert not recognise(Foreign({}, {"x": (1, 300, 80), "y": (1, 300, 4)}, SIZE)).sure


def test_the_cells_of_a_grid_are_no_queries():
    shapes = {"boxes": (1, 8400, 4), "logits": (1, 8400, 80)}
    assert recognise(Foreign({}, shapes, SIZE)) is None
    assert recognise(Foreign({}, {"logits": (1, 300, 80), "boxes": (1, 100, 4)}, SIZE)) is None


def test_further_outputs_need_names():
    shapes = {"hidden": (1, 100, 256), "pred_boxes": (1, 100, 4), "logits": (1, 100, 92)}
    assert recognise(Foreign({}, shapes, SIZE)).outputs["logits"] == "logits"
    nameless = dict(zip("abc", shapes.values(), strict=True))
    assert recognise(Foreign({}, nameless, SIZE)) is None


def test_other_shapes_are_refused():
    with pytest.raises(ModelError, match=r"needs \(1, 50, 4\)"):
        build({"activation": "softmax"}, LABELS, SIZE)(_outputs(3), None)
