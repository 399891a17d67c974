from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.blaze import anchors, build, recognise
from edgenn.ops.preprocess import ImagePreprocessor, Letterbox, Normalize, geometry
from edgenn.runtime.engines.litert import open_model

LABELS = ("palm",)
CELLS = ((8, 2), (16, 6))


def _plain_anchors(side: int) -> list[tuple[float, float]]:
    found = []
    for stride, each in CELLS:
        for row in range(side // stride):
            for column in range(side // stride):
                found += [((column + 0.5) * stride, (row + 0.5) * stride)] * each
    return found


def _overlap(a: list[float], b: list[float]) -> float:
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h
    return w * h / union if union else 0.0


def _plain(raw: np.ndarray, logits: np.ndarray, side: int) -> list[tuple[float, list[float]]]:
    """Score and box and key points of each survivor: MediaPipe's blending, with loops."""
    left = []
    for (ax, ay), row, (logit,) in zip(
        _plain_anchors(side), raw.tolist(), logits.tolist(), strict=True
    ):
        score = 1 / (1 + math.exp(-min(100, max(-100, logit))))
        if score >= 0.5:
            x, y, w, h = row[0] + ax, row[1] + ay, row[2], row[3]
            values = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
            for k in range(4, len(row), 2):
                values += [row[k] + ax, row[k + 1] + ay]
            left.append((score, values))
    left.sort(key=lambda item: -item[0])
    found = []
    while left:
        top, values = left[0]
        near = [item for item in left if _overlap(item[1], values) > 0.3]
        left = [item for item in left if _overlap(item[1], values) <= 0.3]
        total = sum(score for score, _ in near)
        blended = [sum(s * v[i] for s, v in near) / total for i in range(len(values))]
        found.append((top, blended))
    return found


@pytest.mark.parametrize("points", [0, 4, 7])
@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed, points):
    rng = np.random.default_rng(seed)
    raw = rng.normal(0, 8, (1, 896, 4 + 2 * points)).astype(np.float32)
    raw[..., 2:4] = rng.uniform(10, 50, (1, 896, 2))
    logits = rng.normal(-2, 1.5, (1, 896, 1)).astype(np.float32)
    logits[0, :2] = ((500,), (-500,))
    outputs = {"regressors": raw, "classificators": logits}
    found = build({"cells": CELLS}, LABELS, (128, 128))(outputs, None)
    expected = _plain(raw[0], logits[0], 128)
    assert 10 < len(expected) < (logits > 0).sum()
    np.testing.assert_allclose(found.scores, [s for s, _ in expected], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, [v[:4] for _, v in expected], atol=1e-3)
    if not points:
        assert found.keypoints is None
        return
    told = np.array([v[4:] for _, v in expected]).reshape(-1, points, 2)
    np.testing.assert_allclose(found.keypoints[..., :2], told, atol=1e-3)
    np.testing.assert_allclose(found.keypoints[..., 2], found.scores[:, None].repeat(points, 1))


def test_boxes_and_points_land_in_the_frame():
    raw = np.zeros((1, 896, 6), np.float32)
    raw[0, 0] = (28, 60, 20, 10, 28, 60)
    logits = np.full((1, 896, 1), -9, np.float32)
    logits[0, 0] = 9
    way = geometry((128, 256), Letterbox((128, 128), pad=0))
    outputs = {"regressors": raw, "classificators": logits}
    found = build({}, ("face",), (128, 128))(outputs, way)
    # Half size, below 32 rows of padding; the anchor lies at 4, 4.
    np.testing.assert_allclose(found.boxes, [[44, 54, 84, 74]], rtol=1e-5)
    np.testing.assert_allclose(found.keypoints[0, 0, :2], (64, 64), rtol=1e-5)


@pytest.mark.parametrize(
    ("size", "number", "width", "cells", "mean"),
    [
        (192, 2016, 18, CELLS, 0.0),
        (128, 896, 16, CELLS, 127.5),
        (256, 896, 16, ((16, 2), (32, 6)), 127.5),
        (224, 2254, 12, ((8, 2), (16, 2), (32, 6)), 127.5),
        (192, 2304, 16, ((4, 1),), 127.5),
    ],
)
def test_nets_of_mediapipe_are_recognised(size, number, width, cells, mean):
    shapes = {"a": (1, number, 1), "b": (1, number, width)}
    for outputs in (shapes, dict(reversed(shapes.items()))):
        match = recognise(Foreign({}, outputs, (size, size)))
        assert match.outputs == {"regressors": "b", "classificators": "a"}
        assert match.params == {"cells": cells}
        assert (match.fit, match.pad, match.mean) == ("letterbox", 0, (mean,) * 3)
        assert len(anchors((size, size), cells)) == number
    assert recognise(Foreign({}, shapes, (size + 64, size + 64))) is None


@pytest.mark.parametrize(("points", "label"), [(4, "person"), (6, "face"), (7, "palm")])
def test_grids_that_come_one_by_one_give_what_they_give_together(points, label):
    rng = np.random.default_rng(1)
    raw = rng.normal(0, 8, (1, 896, 4 + 2 * points)).astype(np.float32)
    raw[..., 2:4] = rng.uniform(10, 50, (1, 896, 2))
    logits = rng.normal(-2, 1.5, (1, 896, 1)).astype(np.float32)
    whole = build({}, LABELS, (128, 128))({"regressors": raw, "classificators": logits}, None)
    # Two anchors in each of 16 x 16 cells, then six in each of 8 x 8.
    parts = {"Identity": logits[:, :512], "Identity_1": logits[:, 512:]}
    parts |= {"Identity_2": raw[:, :512], "Identity_3": raw[:, 512:]}
    match = recognise(Foreign({}, {n: v.shape for n, v in parts.items()}, (128, 128)))
    assert match.labels == (label,)
    decode = build(match.params, match.labels, (128, 128))
    found = decode({ours: parts[theirs] for ours, theirs in match.outputs.items()}, None)
    assert len(found) > 10
    np.testing.assert_array_equal(found.boxes, whole.boxes)
    np.testing.assert_array_equal(found.keypoints, whole.keypoints)


def test_grids_of_different_key_points_are_not_recognised():
    shapes = {"a": (1, 512, 1), "b": (1, 384, 1), "c": (1, 512, 16), "d": (1, 384, 18)}
    assert recognise(Foreign({}, shapes, (128, 128))) is None


@pytest.mark.parametrize(
    ("raw", "scores", "reason"),
    [
        ((1, 896, 7), (1, 896, 1), "regressors of 7 values"),
        ((1, 896, 3), (1, 896, 1), "regressors of 3 values"),
        ((1, 895, 18), (1, 895, 1), r"needs \(1, 896, N\)"),
        ((1, 896, 18), (1, 896, 2), r"needs \(1, 896, 1\)"),
    ],
)
def test_other_shapes_are_refused(raw, scores, reason):
    outputs = {
        "regressors": np.zeros(raw, np.float32),
        "classificators": np.zeros(scores, np.float32),
    }
    with pytest.raises(ModelError, match=reason):
        build({}, LABELS, (128, 128))(outputs, None)


# Clips in which a hand is in the picture from the first frame to the last.
@pytest.mark.parametrize("clip", ["hungry", "milk", "no", "sorry", "thanks"])
def test_a_palm_is_found_in_nearly_every_frame_of_a_signer(real_data, clip):
    engine = open_model((real_data / "models/palm_detection_lite.tflite").read_bytes(), 1)
    outputs = {"Identity": (1, 2016, 18), "Identity_1": (1, 2016, 1)}
    match = recognise(Foreign(dict(engine.inputs), outputs, (192, 192)))
    decode = build(match.params, LABELS, (192, 192))
    steps = (Letterbox((192, 192), pad=match.pad), Normalize(match.mean, match.std))
    prepare = ImagePreprocessor(steps, match.color, "nhwc")
    video = cv2.VideoCapture(str(real_data / f"videos/asl/{clip}.mkv"))
    seen, frames = 0, 0
    while video.grab():
        frames += 1
        if frames % 5:
            continue
        tensor, way = prepare(video.retrieve()[1])
        raw = engine.run({"input_1": tensor})
        found = decode({ours: raw[theirs] for ours, theirs in match.outputs.items()}, way)
        seen += len(found) > 0
        for box, points in zip(found.boxes, found.keypoints, strict=True):
            # A palm's points lie on it, and it is no larger than a head on these clips.
            assert (points[:, :2] > box[:2] - 0.5 * (box[2:] - box[:2])).all()
            assert (points[:, :2] < box[2:] + 0.5 * (box[2:] - box[:2])).all()
            assert (box[2:] - box[:2]).max() < 100
    video.release()
    assert frames > 40
    assert seen == frames // 5
