from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.end2end import build, recognise
from edgenn.ops.preprocess import Letterbox, geometry

SIZE, LABELS = (64, 96), ("a", "b", "c")
LISTS = ("num_dets", "det_boxes", "det_scores", "det_classes")


def _parts(seed: int, count: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes in net pixels, scores, classes, of which some are none that has a name."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 50, (count, 2))
    boxes = np.concatenate([low, low + rng.uniform(2, 14, (count, 2))], 1)
    return boxes, rng.uniform(0, 1, count), rng.integers(-1, 5, count)


def _plain(seed: int, conf: float, count: int = 40) -> list[tuple[float, ...]]:
    found = [
        (*box, score, class_id)
        for box, score, class_id in list(zip(*(p.tolist() for p in _parts(seed)), strict=True))[
            :count
        ]
        if score >= conf and 0 <= class_id < 3
    ]
    return sorted(found, key=lambda f: -f[4])


def _told(found) -> np.ndarray:
    order = np.argsort(-found.scores)
    return np.column_stack([found.boxes, found.scores, found.class_ids])[order]


def _outputs(form: str, seed: int) -> dict[str, np.ndarray]:
    boxes, scores, classes = _parts(seed)
    if form == "rows":
        found = {"rows": np.column_stack([boxes, scores, classes])[None]}
    elif form == "batch":
        found = {"rows": np.column_stack([np.zeros(40), boxes, classes, scores])}
    elif form == "dets":
        found = {"rows": np.column_stack([boxes, scores])[None], "classes": classes[None]}
    elif form == "paddle":
        found = {"rows": np.column_stack([classes, scores, boxes]), "count": np.array([40])}
    else:
        found = {"boxes": boxes[None], "scores": scores[None], "classes": classes[None]}
    return {name: values.astype(np.float32) for name, values in found.items()}


@pytest.mark.parametrize("form", ["rows", "batch", "lists", "dets", "paddle"])
@pytest.mark.parametrize("seed", range(3))
def test_every_form_gives_what_a_plain_loop_gives(form, seed):
    found = build({"form": form, "conf": 0.3}, LABELS, SIZE)(_outputs(form, seed), None)
    expected = _plain(seed, 0.3)
    assert 5 < len(expected) < 30
    np.testing.assert_allclose(_told(found), expected, rtol=1e-4)


@pytest.mark.parametrize("form", ["lists", "paddle"])
@pytest.mark.parametrize(("count", "last"), [(7, 7), (-2, 0), (1e9, 40), (np.nan, 0)])
def test_a_count_says_how_many_of_the_rows_are_meant(form, count, last):
    outputs = _outputs(form, 1) | {"count": np.array([[count]], np.float32)}
    found = build({"form": form, "conf": 0.3}, LABELS, SIZE)(outputs, None)
    expected = np.array(_plain(1, 0.3, last)).reshape(-1, 6)
    np.testing.assert_allclose(_told(found), expected, rtol=1e-4)


def test_boxes_on_0_to_1_land_in_the_frame():
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, 0] = (0.25, 0.25, 0.5, 0.75, 0.9, 2)
    found = build({}, LABELS, SIZE)({"rows": rows}, geometry((128, 192), Letterbox(SIZE)))
    np.testing.assert_allclose(found.boxes, [[48, 32, 96, 96]], rtol=1e-5)
    assert found.name(0) == "c"


def test_boxes_that_the_file_lets_overlap_stay():
    rows = np.zeros((1, 300, 6), np.float32)
    rows[0, :2] = (10, 10, 30, 30, 0.9, 2)
    assert len(build({}, LABELS, SIZE)({"rows": rows}, None)) == 2


@pytest.mark.parametrize("each", [2, 3])
def test_key_points_come_with_their_boxes(each):
    rng = np.random.default_rng(3)
    boxes, scores, _ = _parts(3)
    points = rng.uniform(0, 1, (40, 5, each)) * (96, 64, 1)[:each]
    rows = np.column_stack([boxes, scores, np.zeros(40), points.reshape(40, -1)])[None]
    decode = build({"keypoints": (5, each), "conf": 0.5}, LABELS, SIZE)
    found = decode({"rows": rows.astype(np.float32)}, None)
    order = [i for i in np.argsort(-scores) if scores[i] >= 0.5]
    assert len(order) > 5
    np.testing.assert_allclose(found.keypoints[..., :2], points[order][..., :2], rtol=1e-5)
    seen = points[order][..., 2] if each == 3 else np.ones((len(order), 5))
    np.testing.assert_allclose(found.keypoints[..., 2], seen, rtol=1e-5)


@pytest.mark.parametrize(
    ("form", "empty"),
    [
        ("rows", {"rows": np.zeros((1, 0, 6), np.float32)}),
        ("batch", {"rows": np.zeros((0, 7), np.float32)}),
        (
            "lists",
            {
                k: np.zeros((1, 0, 4)[: 2 + (k == "boxes")], np.float32)
                for k in ("boxes", "scores", "classes")
            },
        ),
    ],
)
def test_a_file_that_gives_no_rows_finds_nothing(form, empty):
    assert len(build({"form": form}, LABELS, SIZE)(empty, None)) == 0


def test_rows_of_other_pictures_are_left_out():
    rows = _outputs("batch", 0)["rows"]
    rows[:, 0] = 1
    assert len(build({"form": "batch"}, LABELS, SIZE)({"rows": rows}, None)) == 0


@pytest.mark.parametrize(
    ("shapes", "metadata", "params"),
    [
        ({"output0": (1, 300, 6)}, {}, {"form": "rows"}),
        ({"out": (0, 7)}, {}, {"form": "batch"}),
        ({"out": (12, 7)}, {}, {"form": "batch"}),
        (
            {"output0": (1, 300, 57)},
            {"task": "pose", "kpt_shape": "[17, 3]"},
            {"form": "rows", "keypoints": (17, 3), "rest": 0},
        ),
        (
            {"output0": (1, 300, 38), "output1": (1, 32, 160, 160)},
            {"task": "segment"},
            {"form": "rows", "keypoints": (0, 3), "rest": 32},
        ),
        (
            dict(zip(LISTS, [(1, 1), (1, 100, 4), (1, 100), (1, 100)], strict=True)),
            {},
            {"form": "lists"},
        ),
        ({"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}, {}, {"form": "lists"}),
    ],
)
def test_what_is_in_use_is_recognised(shapes, metadata, params):
    match = recognise(Foreign({}, shapes, (640, 640), metadata=metadata))
    assert match.sure
    assert match.params == params
    assert set(match.outputs.values()) <= set(shapes)
    assert match.classes == 80
    assert recognise(Foreign({}, shapes, (640, 640), 3, metadata)).classes == 3


def test_detectors_without_grid_take_stretched_pictures():
    shapes = {"labels": (1, 300), "boxes": (1, 300, 4), "scores": (1, 300)}
    assert recognise(Foreign({}, shapes, (640, 640))).fit == "stretch"
    assert recognise(Foreign({}, {"a": (1, 300, 6)}, (640, 640))).fit == "letterbox"


@pytest.mark.parametrize(
    ("shapes", "metadata"),
    [
        ({"a": (1, 8400, 6)}, {}),
        ({"a": (1, 300, 7)}, {"task": "obb"}),
        ({"a": (1, 300, 6)}, {"task": "obb"}),
        ({"a": (1, 300, 6), "b": (1, 300, 6)}, {}),
        ({"n": (1,), "detection_boxes": (1, 9, 4), "detection_scores": (1, 9), "c": (1, 9)}, {}),
        ({"boxes": (1, 9, 4), "scores": (1, 8), "labels": (1, 9)}, {}),
    ],
)
def test_other_files_are_not_recognised(shapes, metadata):
    assert recognise(Foreign({}, shapes, (640, 640), metadata=metadata)) is None


def test_a_row_for_each_cell_is_no_list_of_boxes():
    # 96 + 24 + 6 cells, and three times that.
    for count in (126, 378):
        assert recognise(Foreign({}, {"a": (1, count, 6)}, SIZE)) is None
    assert recognise(Foreign({}, {"a": (1, 127, 6)}, SIZE)) is not None


def test_one_row_of_seven_may_be_a_classifier():
    assert not recognise(Foreign({}, {"a": (1, 7)}, SIZE)).sure


@pytest.mark.parametrize(
    ("form", "shapes", "reason"),
    [
        ("rows", {"rows": (1, 300, 7)}, r"needs \(1, M, 6\)"),
        ("batch", {"rows": (300, 6)}, r"needs \(M, 7\)"),
        ("lists", {"boxes": (1, 9, 5), "scores": (1, 9), "classes": (1, 9)}, r"\(1, M, 4\)"),
        ("lists", {"boxes": (1, 9, 4), "scores": (1, 8), "classes": (1, 9)}, "8 scores for 9"),
        ("lists", {"boxes": (1, 9, 4), "scores": (1, 9)}, "needs an output 'classes'"),
    ],
)
def test_other_shapes_are_refused(form, shapes, reason):
    outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(ModelError, match=reason):
        build({"form": form}, LABELS, SIZE)(outputs, None)


@pytest.mark.parametrize(
    ("form", "shapes", "said"),
    [
        ("dets", {"rows": (1, 9, 4), "classes": (1, 9)}, r"\(1, M, 5\)"),
        ("dets", {"rows": (1, 9, 5), "classes": (1, 8)}, "8 classes for 9 boxes"),
        ("paddle", {"rows": (9, 7), "count": (1,)}, r"\(M, 6\)"),
        ("paddle", {"rows": (9, 6), "count": (2,)}, "count"),
    ],
)
def test_tensors_of_other_shapes_are_refused_in_words(form, shapes, said):
    outputs = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    with pytest.raises(ModelError, match=said):
        build({"form": form}, LABELS, SIZE)(outputs, None)


def test_names_alone_do_not_make_mmdeploys_outputs():
    for dets, labels in (((1, 9, 4), (1, 9)), ((1, 9, 5), (1, 8)), ((9, 5), (9,))):
        assert recognise(Foreign({}, {"dets": dets, "labels": labels}, SIZE)) is None


def test_six_numbers_and_a_count_may_be_something_else_where_no_name_says_nms():
    match = recognise(Foreign({}, {"a": (9, 6), "b": (1,)}, SIZE))
    assert match is not None
    assert not match.sure
