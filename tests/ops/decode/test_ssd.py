from __future__ import annotations

import json
import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode._anchors import Listed, MultiScale, Octaves, count, generate
from edgenn.ops.decode.ssd import build, recognise
from edgenn.ops.preprocess import Resize, geometry

LABELS = ("a", "b", "c")
KEEP_ALL = {"iou": 1.0, "max_det": 3000, "candidates": 3000}


def _multi_scale(side: int) -> list[tuple[float, ...]]:
    """TensorFlow's six grids, written down from its description; net pixels."""
    found = []
    scales = [0.2 + 0.15 * i for i in range(6)] + [1.0]
    for layer in range(6):
        cells = math.ceil(side / (16 * 2**layer))
        kinds = [(scales[layer], r) for r in (1, 2, 0.5, 3, 0.3333)]
        kinds.append((math.sqrt(scales[layer] * scales[layer + 1]), 1))
        if layer == 0:
            kinds = [(0.1, 1), (0.2, 2), (0.2, 0.5)]
        for row in range(cells):
            for column in range(cells):
                for scale, ratio in kinds:
                    x, y = (column + 0.5) / cells * side, (row + 0.5) / cells * side
                    w, h = scale * math.sqrt(ratio) * side, scale / math.sqrt(ratio) * side
                    found.append((x, y, w, h))
    return found


def _octaves(side: int, octaves: int, by_scale: bool, zero: bool) -> list[tuple[float, ...]]:
    found = []
    for stride in (8, 16, 32, 64, 128):
        start = 0 if zero and side % stride else stride / 2
        sides = [4 * stride * 2 ** (k / octaves) for k in range(octaves)]
        pairs = [(s, r) for s in sides for r in (1, 2, 0.5)]
        if not by_scale:
            pairs = [(s, r) for r in (1, 2, 0.5) for s in sides]
        for row in range(math.ceil(side / stride)):
            for column in range(math.ceil(side / stride)):
                for s, r in pairs:
                    x, y = start + column * stride, start + row * stride
                    found.append((x, y, s * math.sqrt(r), s / math.sqrt(r)))
    return found


def _lite(side: int) -> list[tuple[float, ...]]:
    """EfficientDet-Lite: cells of the exact share of the input, and squares of three of them."""
    found = []
    for level in range(3, 8):
        cells = math.ceil(side / 2**level)
        cell = side / cells
        for row in range(cells):
            for column in range(cells):
                for s in (3 * cell, 3 * cell * 2 ** (1 / 3), 3 * cell * 2 ** (2 / 3)):
                    for w, h in ((1, 1), (2**0.5, 0.5**0.5), (0.5**0.5, 2**0.5)):
                        found.append(((column + 0.5) * cell, (row + 0.5) * cell, s * w, s * h))
    return found


def _listed() -> list[tuple[float, ...]]:
    found = []
    steps, sides = (8, 16, 32, 64, 100, 300), (30, 60, 111, 162, 213, 264, 315)
    for layer, cells in enumerate((38, 19, 10, 5, 3, 1)):
        for row in range(cells):
            for column in range(cells):
                x, y = (column + 0.5) * steps[layer], (row + 0.5) * steps[layer]
                side = sides[layer]
                found.append((x, y, side, side))
                found.append((x, y, *[math.sqrt(side * sides[layer + 1])] * 2))
                for ratio in (2, 3) if layer in (1, 2, 3) else (2,):
                    root = math.sqrt(ratio)
                    found.append((x, y, side * root, side / root))
                    found.append((x, y, side / root, side * root))
    return found


@pytest.mark.parametrize(
    ("spec", "side", "expected", "number"),
    [
        (MultiScale(), 300, _multi_scale(300), 1917),
        (MultiScale(), 320, _multi_scale(320), 2034),
        (Listed(), 300, _listed(), 8732),
        (Octaves(), 512, _octaves(512, 3, True, False), 49104),
        (
            Octaves(octaves=2, outer="ratios", uneven="zero"),
            320,
            _octaves(320, 2, False, True),
            12804,
        ),
        (Octaves(scale=3.0, uneven="cover"), 320, _lite(320), 19206),
        (Octaves(scale=3.0, uneven="cover"), 448, _lite(448), 37629),
    ],
)
def test_anchors_are_those_of_the_published_generators(spec, side, expected, number):
    made = generate(spec, (side, side))
    assert len(made) == count(spec, (side, side)) == number
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-3)


def _plain(
    boxes: np.ndarray, scores: np.ndarray, anchors: list[tuple[float, ...]], order: str, conf: float
) -> list[tuple[float, ...]]:
    found = []
    for row, each, (x, y, w, h) in zip(boxes.tolist(), scores.tolist(), anchors, strict=True):
        tx, ty, tw, th = row if order == "xywh" else (row[1], row[0], row[3], row[2])
        cx, cy = x + tx * 0.1 * w, y + ty * 0.1 * h
        bw, bh = w * math.exp(tw * 0.2), h * math.exp(th * 0.2)
        box = (cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2)
        found += [(*box, s, c) for c, s in enumerate(each) if s >= conf]
    return sorted(found, key=lambda f: -f[4])


@pytest.mark.parametrize("order", ["xywh", "yxhw"])
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
@pytest.mark.parametrize("background", [True, False])
def test_decoding_equals_a_plain_loop(order, activation, background):
    rng = np.random.default_rng(3)
    boxes = rng.normal(0, 1, (1, 1917, 4)).astype(np.float32)
    logits = rng.normal(-1, 2, (1, 1917, 3 + background)).astype(np.float32)
    rows = [[float(v) for v in row] for row in logits[0]]
    if activation == "sigmoid":
        shares = [[1 / (1 + math.exp(-v)) for v in row] for row in rows]
    else:
        shares = [[math.exp(v) / sum(math.exp(u) for u in row) for v in row] for row in rows]
    wanted = np.array(shares)[:, int(background) :]
    expected = _plain(boxes[0], wanted, _multi_scale(300), order, 0.9)
    params = {
        **KEEP_ALL,
        "order": order,
        "activation": activation,
        "background": background,
        "conf": 0.9,
    }
    decode = build(params, LABELS, (300, 300))
    probabilities = np.array(shares, np.float32)[None]
    assert len(expected) > 20
    for scores in (logits, probabilities):
        found = decode({"boxes": boxes, "scores": scores}, None)
        told = np.column_stack([found.boxes, found.scores, found.class_ids])
        np.testing.assert_allclose(told, expected, rtol=1e-3, atol=0.02)


def test_decoded_corners_need_no_anchors_and_land_in_the_frame():
    boxes = np.array([[[0.1, 0.2, 0.5, 0.6]] * 2 + [[0, 0, 0.1, 0.1]]], np.float32)
    scores = np.array([[[0.1, 0.9, 0, 0], [0.3, 0.7, 0, 0], [0.2, 0, 0, 0.8]]], np.float32)
    decode = build({"form": "corners"}, LABELS, (100, 100))
    found = decode({"boxes": boxes, "scores": scores}, geometry((200, 400), Resize((100, 100))))
    np.testing.assert_allclose(found.boxes, [[40, 40, 200, 120], [0, 0, 40, 20]], rtol=1e-4)
    assert found.class_ids.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("size", "number", "columns", "labels", "classes", "kind"),
    [
        (300, 8732, 21, 0, 20, "listed"),
        (512, 24564, 81, 0, 80, "listed"),
        (300, 1917, 91, 0, 90, "multi-scale"),
        (320, 2034, 4, 3, 3, "multi-scale"),
        (320, 12804, 91, 0, 90, "octaves"),
        (640, 51150, 90, 0, 90, "octaves"),
        (512, 49104, 90, 0, 90, "octaves"),
    ],
)
def test_known_counts_are_recognised_in_either_order(size, number, columns, labels, classes, kind):
    shapes = {"raw_boxes": (1, number, 4), "raw_scores": (1, number, columns)}
    for outputs in (shapes, dict(reversed(shapes.items()))):
        match = recognise(Foreign({}, outputs, (size, size), labels))
        assert match.outputs == {"boxes": "raw_boxes", "scores": "raw_scores"}
        assert match.classes == classes
        assert match.params["anchors"]["kind"] == kind
        # A manifest keeps the parameters as JSON.
        params = json.loads(json.dumps(dict(match.params)))
        decode = build(params, tuple(map(str, range(classes))), (size, size))
        nothing = {
            "boxes": np.zeros((1, number, 4), np.float32),
            "scores": np.full((1, number, columns), -9, np.float32),
        }
        # Softmax of equal logits is the same for all, and below the threshold.
        assert len(decode(nothing, None)) == 0


@pytest.mark.parametrize(
    ("size", "number", "side", "sure"),
    [
        (320, 19206, 24, True),
        (448, 37629, 24, True),
        (512, 49104, 32, True),
        (256, 12276, 32, False),
    ],
)
def test_the_anchors_of_an_efficientdet_are_of_its_kind(size, number, side, sure):
    shapes = {"boxes": (1, number, 4), "scores": (1, number, 90)}
    match = recognise(Foreign({}, shapes, (size, size), 90))
    assert match.sure == sure
    scores = np.full((1, number, 90), -9, np.float32)
    scores[0, 0, 0] = 9
    decode = build(match.params, tuple(map(str, range(90))), (size, size))
    found = decode({"boxes": np.zeros((1, number, 4), np.float32), "scores": scores}, None)
    # The first anchor is a square of three or four strides around the middle of its cell.
    np.testing.assert_allclose(found.boxes, [[4 - side / 2] * 2 + [4 + side / 2] * 2], atol=1e-3)


@pytest.mark.parametrize(("labels", "has_background"), [(24, True), (23, False)])
def test_a_list_of_names_may_count_the_background(labels, has_background):
    shapes = {"boxes": (1, 1917, 4), "scores": (1, 1917, 24)}
    match = recognise(Foreign({}, shapes, (300, 300), labels, {}, has_background))
    assert match.classes == 23
    assert match.params["background"]


def test_other_files_are_not_recognised():
    for outputs in (
        {"a": (1, 1917, 4), "b": (1, 1918, 91)},
        {"a": (1, 2000, 4), "b": (1, 2000, 91)},
        {"a": (1, 1917, 4)},
        {"a": (-1, -1, 4), "b": (-1, -1, 91)},
        {"a": (1, 1917, 4), "b": (1, 1917, 4)},
    ):
        assert recognise(Foreign({}, outputs, (300, 300))) is None


def test_other_shapes_are_refused():
    outputs = {"boxes": np.zeros((1, 7, 4), np.float32), "scores": np.zeros((1, 7, 4), np.float32)}
    with pytest.raises(ModelError, match=r"boxes \(1, 7, 4\).*needs \(1, 1917, 4\)"):
        build({}, LABELS, (300, 300))(outputs, None)
    with pytest.raises(ModelError, match=r"scores \(1, 7, 4\).*needs \(1, 7, 3\)"):
        build({"form": "corners", "background": False}, LABELS, (300, 300))(outputs, None)


@pytest.mark.parametrize(
    ("anchors", "reason"),
    [
        ({"kind": "octaves", "strides": [1], "octaves": 16}, "too many"),
        ({"kind": "octaves", "stride": [8]}, "stride"),
        ({"kind": "listed", "cells": [3]}, "1 steps, 2 sizes"),
        ({"kind": "guess"}, "anchors"),
    ],
)
def test_impossible_anchors_are_refused(anchors, reason):
    with pytest.raises(ModelError, match=reason):
        build({"anchors": anchors}, LABELS, (600, 600))


@pytest.mark.parametrize(("conf", "number"), [(0.0, 3 * 330), (1.0, 0)])
def test_thresholds_of_nought_and_one_are_possible(conf, number):
    outputs = {
        "boxes": np.zeros((1, 330, 4), np.float32),
        "scores": np.random.default_rng(0).normal(-3, 2, (1, 330, 4)).astype(np.float32),
    }
    found = build({**KEEP_ALL, "conf": conf}, LABELS, (128, 128))(outputs, None)
    assert len(found) == number


def test_yolov4_with_decoded_boxes():
    size = (64, 96)
    shapes = {"boxes": (1, 378, 1, 4), "confs": (1, 378, 3)}
    match = recognise(Foreign({}, shapes, size))
    assert (match.classes, match.sure, match.std) == (3, True, (255.0,) * 3)
    boxes, scores = np.zeros(shapes["boxes"], np.float32), np.zeros(shapes["confs"], np.float32)
    boxes[0, 7, 0], scores[0, 7, 2] = (0.25, 0.5, 0.5, 1), 0.75
    found = build(match.params, ("a", "b", "c"), size)({"boxes": boxes, "scores": scores}, None)
    np.testing.assert_allclose(found.boxes, [[24, 32, 48, 64]])
    assert (found.name(0), found.scores[0]) == ("c", 0.75)
