"""What holds for all layouts of files that edgenn did not write."""

from __future__ import annotations

import numpy as np
import pytest

from edgenn import plugins
from edgenn.ops import decode
from edgenn.ops.decode import Foreign
from edgenn.ops.decode._foreign import in_order, sigmoid, softmax, sound, squeezed

SIZE = (128, 128)
GRIDS = (256, 64, 16, 4)
# Layout, its parameters, labels, and the shapes of its outputs by their names in the file.
LAYOUTS = [
    ("blaze", 1, {"a": (1, 896, 16), "b": (1, 896, 1)}),
    ("end2end", 3, {"out": (1, 300, 6)}),
    ("end2end", 3, {"out": (300, 7)}),
    ("end2end", 3, {"boxes": (1, 100, 4), "scores": (1, 100), "labels": (1, 100)}),
    ("end2end", 3, {"dets": (1, 100, 5), "labels": (1, 100)}),
    ("end2end", 3, {"nms.tmp_0": (300, 6), "nms.tmp_2": (1,)}),
    ("fastestdet", 3, {"out": (1, 8, 8, 8)}),
    ("nanodet", 3, {"out": (1, 340, 35)}),
    ("picodet", 3, {f"{a}{n}": (1, n, k) for a, k in (("s", 3), ("b", 32)) for n in GRIDS}),
    ("picodet", 3, {"boxes": (1, 340, 4), "scores": (1, 3, 340)}),
    ("yolov5", 3, {"out": (1, 1008, 8)}),
    ("yolov8", 3, {"out": (1, 7, 336)}),
    ("yolox", 3, {"out": (1, 336, 8)}),
    ("detr", 3, {"logits": (1, 100, 4), "pred_boxes": (1, 100, 4)}),
    ("landmarks", 1, {"Identity": (1, 1404), "Identity_1": (1, 1)}),
    ("landmarks", 1, {"Identity": (1, 195), "Identity_1": (1, 1)}),
    (
        "landmarks",
        2,
        {"Identity": (1, 63), "Identity_1": (1, 1), "Identity_2": (1, 1), "Identity_3": (1, 63)},
    ),
    ("movenet", 1, {"out": (1, 1, 17, 3)}),
    ("movenet", 1, {"out": (1, 6, 56)}),
    ("ssd", 3, {"boxes": (1, 330, 4), "scores": (1, 330, 3)}),
    ("ssd_post", 3, {"a": (1, 20), "b": (1, 20, 4), "c": (1,), "d": (1, 20)}),
    ("ultraface", 1, {"boxes": (1, 940, 4), "scores": (1, 940, 2)}),
    ("scrfd", 1, {f"{n}{w}": (n, w) for n in (512, 128, 32) for w in (1, 4, 10)}),
    (
        "yunet",
        1,
        {
            f"{n}_{s}": (1, s, w)
            for s in (256, 64, 16)
            for n, w in zip("cobk", (1, 1, 4, 10), strict=True)
        },
    ),
]


def _match(name, labels, shapes):
    known = plugins.load(decode, name).recognise(Foreign({}, shapes, SIZE, labels))
    assert known is not None
    assert known.classes == labels
    return known


@pytest.mark.parametrize(("name", "labels", "shapes"), LAYOUTS)
def test_no_other_layout_is_as_sure_of_the_file(name, labels, shapes):
    assert _match(name, labels, shapes).sure
    for other in plugins.names(decode):
        module = plugins.load(decode, other)
        if other != name and hasattr(module, "recognise"):
            match = module.recognise(Foreign({}, shapes, SIZE, labels))
            assert match is None or not match.sure, other


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e30])
@pytest.mark.parametrize(("name", "labels", "shapes"), LAYOUTS)
def test_values_that_are_no_places_are_dropped(name, labels, shapes, bad):
    match = _match(name, labels, shapes)
    rng = np.random.default_rng(5)
    outputs = {}
    for ours, theirs in match.outputs.items():
        values = rng.uniform(0, 1, shapes[theirs])
        if ours == "classes" and name == "ssd_post":
            values = values.round()
        if values.shape == (300, 7):
            values[:, 0] = 0  # number of the picture
        if ours == "count":
            values[:] = 15
        else:
            values[rng.uniform(size=values.shape) < 0.05] = bad
        outputs[ours] = values.astype(np.float32)
    params = {**match.params, "conf": 0.1}
    found = plugins.load(decode, name).build(params, tuple("abc")[:labels], SIZE)(outputs, None)
    assert np.isfinite(found.boxes).all()
    assert np.isfinite(found.scores).all()
    assert ((found.scores >= 0.1) & (found.scores <= 1)).all()
    assert found.keypoints is None or np.isfinite(found.keypoints).all()
    if name not in ("landmarks", "movenet"):
        assert len(found) > 0, "the sound boxes stay"


@pytest.mark.parametrize(("name", "labels", "shapes"), LAYOUTS)
def test_a_file_of_nothing_but_nan_finds_nothing(name, labels, shapes):
    match = _match(name, labels, shapes)
    outputs = {ours: np.full(shapes[at], np.nan, np.float32) for ours, at in match.outputs.items()}
    decoder = plugins.load(decode, name).build(match.params, tuple("abc")[:labels], SIZE)
    assert len(decoder(outputs, None)) == 0


@pytest.mark.parametrize(
    "shapes",
    [
        {},
        {"a": ()},
        {"a": (1,)},
        {"a": (-1, -1)},
        {"a": (-1, -1, 4), "b": (-1, -1, 2)},
        {"a": (0, 0, 4), "b": (0, 0, 1)},
        {"a": (1, 1000), "b": (1, 1000)},
        {"a": (), "b": (), "c": (), "d": ()},
        {"a": (1, 8400, 80), "b": (1, 8400, 4)},
        {"a": (1, 84, 8400)},
    ],
)
def test_odd_files_are_taken_for_none_of_them(shapes):
    for name in {name for name, _, _ in LAYOUTS} - {"yolov8"}:
        for size in (SIZE, (1, 1), (640, 640)):
            match = plugins.load(decode, name).recognise(Foreign({}, shapes, size, 80))
            assert match is None or not match.sure


def test_names_are_ordered_by_their_numbers_where_nothing_else_differs():
    assert in_order(["out_10", "out", "out_2"]) == (["out", "out_2", "out_10"], True)
    assert in_order(["p:3", "p:1"]) == (["p:1", "p:3"], True)
    assert in_order(["b_2", "a_1"]) == (["b_2", "a_1"], False)
    assert in_order(["a_1", "a:1"]) == (["a_1", "a:1"], False)


def test_probabilities_of_broken_logits_are_nan_and_nothing_overflows():
    broken = np.float32([np.nan, np.inf, -np.inf, 1e30, -1e30, 0])
    np.testing.assert_allclose(sigmoid(broken), [np.nan, np.nan, np.nan, 1, 0, 0.5], atol=1e-6)
    assert np.isnan(softmax(np.float32([[np.inf, 1], [np.nan, 1]]))).all()


def test_rows_are_sound_where_all_their_numbers_are_places():
    boxes = np.float32([[1, 2], [np.nan, 2], [1, np.inf], [1, 1e9]])
    assert sound(boxes).tolist() == [True, False, False, False]
    assert sound(boxes, np.float32([np.nan, 1, 1, 1])).tolist() == [False] * 4
    assert len(sound(boxes[:0])) == 0


def test_axes_of_one_between_are_left_out():
    assert squeezed((1, 1, 20, 1, 4)) == (20, 4)
    assert squeezed((1, 20, 1)) == (20, 1)
    assert squeezed((1,)) == (1,)
    assert squeezed(()) == ()
