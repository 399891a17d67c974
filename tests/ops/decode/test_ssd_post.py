from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.ssd_post import build, recognise
from edgenn.ops.preprocess import Resize, geometry

SIZE, LABELS = (200, 300), ("cat", "dog", "owl", "fox")


def _tensors(count: int = 4, n: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    """What the operation would give; rows beyond ``count`` hold what was there before."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 0.5, (n, 2))
    boxes = np.concatenate([low, low + rng.uniform(0.1, 0.5, (n, 2))], 1)
    return {
        "boxes": boxes[None].astype(np.float32),
        "classes": rng.integers(0, len(LABELS), (1, n)).astype(np.float32),
        "scores": np.sort(rng.uniform(0.1, 0.99, (1, n)))[:, ::-1].astype(np.float32),
        "count": np.array([count], np.float32),
    }


def _plain(t: dict[str, np.ndarray], conf: float, offset: int = 0) -> list[tuple[float, ...]]:
    found = []
    for i in range(int(t["count"][0])):
        score, class_id = float(t["scores"][0, i]), int(t["classes"][0, i]) - offset
        if score >= conf and class_id >= 0:
            top, left, bottom, right = (float(v) for v in t["boxes"][0, i])
            found.append((left * 300, top * 200, right * 300, bottom * 200, score, class_id))
    return found


def _rows(found) -> list[tuple[float, ...]]:
    return [(*b, s, c) for b, s, c in zip(found.boxes, found.scores, found.class_ids, strict=True)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("offset", [0, 1])
def test_decoding_equals_a_plain_loop(seed, offset):
    t = _tensors(8, seed=seed)
    found = build({"conf": 0.4, "offset": offset}, LABELS, SIZE)(t, None)
    expected = _plain(t, 0.4, offset)
    assert len(expected) >= 2
    np.testing.assert_allclose(_rows(found), expected, rtol=1e-4)


@pytest.mark.parametrize("order", list(permutations(["boxes", "classes", "scores", "count"])))
def test_any_order_of_meaningless_names_gives_the_same(order):
    t = _tensors(6)
    names = {f"StatefulPartitionedCall:{i}": t[key] for i, key in enumerate(order)}
    shapes = {name: values.shape for name, values in names.items()}
    match = recognise(Foreign({"in": (1, *SIZE, 3)}, shapes, SIZE, labels=4))
    assert match is not None
    assert match.sure
    decode = build(match.params, LABELS, SIZE)
    found = decode({ours: names[theirs] for ours, theirs in match.outputs.items()}, None)
    np.testing.assert_allclose(_rows(found), _plain(t, 0.3), rtol=1e-4)


def test_the_first_frame_with_something_in_it_decides_for_all_later_ones():
    decode = build({"told_by": "values", "conf": 0.1}, LABELS, SIZE)

    def swapped(t):
        return {**t, "classes": t["scores"], "scores": t["classes"]}

    assert len(decode(swapped(_tensors(0)), None)) == 0
    telling = _tensors(5)
    np.testing.assert_allclose(_rows(decode(swapped(telling), None)), _plain(telling, 0.1), 1e-4)
    # Whole numbers on both sides would tell nothing, but it is settled.
    sure = _tensors(3)
    sure["scores"][:] = 1
    np.testing.assert_allclose(_rows(decode(swapped(sure), None)), _plain(sure, 0.1), 1e-4)


def test_names_of_tensorflow_1_tell():
    stem = "TFLite_Detection_PostProcess"
    outputs = {f"{stem}:2": (), f"{stem}:3": (), stem: (), f"{stem}:1": ()}
    match = recognise(Foreign({}, outputs, SIZE))
    assert match.params == {"told_by": "names"}
    assert match.outputs == {
        "boxes": stem,
        "classes": f"{stem}:1",
        "scores": f"{stem}:2",
        "count": f"{stem}:3",
    }
    assert match.classes == 90


def test_names_that_speak_tell_even_with_free_shapes():
    outputs = {
        "num_detections": (1,),
        "detection_scores": (1, -1),
        "detection_classes": (1, -1),
        "detection_boxes": (1, -1, 4),
    }
    match = recognise(Foreign({}, outputs, SIZE, labels=3))
    assert match.params == {"told_by": "names", "offset": 1}
    assert match.outputs["scores"] == "detection_scores"
    assert match.classes == 3
    # Class numbers do not count the background, lists of names often do.
    assert recognise(Foreign({}, outputs, SIZE, labels=4, background=True)).classes == 3


@pytest.mark.parametrize(
    "shapes",
    [
        {"a": (1, 10, 4), "b": (1, 10), "c": (1, 10)},
        {"a": (1, 10, 4), "b": (1, 10), "c": (1, 9), "d": (1,)},
        {"a": (1, 10, 5), "b": (1, 10), "c": (1, 10), "d": (1,)},
    ],
)
def test_other_files_are_not_recognised(shapes):
    assert recognise(Foreign({}, shapes, SIZE)) is None


def test_boxes_overlap_as_the_file_left_them_and_land_in_the_frame():
    t = _tensors(2)
    t["boxes"][0, :2] = (0.25, 0.5, 0.75, 1.0)
    t["classes"][0, :2] = 1
    found = build({"conf": 0.0}, LABELS, SIZE)(t, geometry((400, 900), Resize(SIZE)))
    np.testing.assert_allclose(found.boxes, [[450, 100, 900, 300]] * 2, rtol=1e-5)


@pytest.mark.parametrize("count", [-3, 1e9, np.nan, np.inf])
def test_an_absurd_count_is_bounded(count):
    t = _tensors()
    t["count"][0] = count
    found = build({"conf": 0.0}, LABELS, SIZE)(t, None)
    assert len(found) == (10 if count == 1e9 else 0)


def test_fractions_in_both_are_another_layout():
    t = _tensors(5)
    t["classes"] = t["scores"] / 2
    with pytest.raises(ModelError, match="both hold fractions"):
        build({"told_by": "values"}, LABELS, SIZE)(t, None)


def test_other_shapes_are_refused():
    t = _tensors()
    with pytest.raises(ModelError, match=r"boxes \(1, 10, 3\).*needs \(1, N, 4\)"):
        build({}, LABELS, SIZE)({**t, "boxes": t["boxes"][..., :3]}, None)
    with pytest.raises(ModelError, match=r"scores \(1, 9\).*needs \(1, 10\)"):
        build({}, LABELS, SIZE)({**t, "scores": t["scores"][:, :9]}, None)
    with pytest.raises(ModelError, match="needs an output 'count'"):
        build({}, LABELS, SIZE)({k: v for k, v in t.items() if k != "count"}, None)
