from __future__ import annotations

import numpy as np
import pytest

from edgenn.ops.boxes import area, iou, nms


def _random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corners = rng.uniform(0, 60, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(1, 40, (count, 2))], 1).astype(np.float32)


def _plain_iou(a: np.ndarray, b: np.ndarray) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0.0) * max(height, 0.0)
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return inter / (both - inter)


def _plain_nms(boxes, scores, class_ids, threshold, max_det) -> list[int]:
    left = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    kept = []
    while left and len(kept) < max_det:
        best = left.pop(0)
        kept.append(best)
        left = [
            i
            for i in left
            if class_ids[i] != class_ids[best] or _plain_iou(boxes[i], boxes[best]) <= threshold
        ]
    return kept


def test_iou_equals_the_definition():
    rng = np.random.default_rng(0)
    a, b = _random_boxes(rng, 13), _random_boxes(rng, 7)
    expected = [[_plain_iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(iou(a, b), expected, rtol=1e-5, atol=1e-6)


def test_iou_of_equal_apart_and_empty_boxes():
    boxes = np.float32([[0, 0, 2, 2], [2, 2, 4, 4], [1, 1, 1, 1]])
    np.testing.assert_array_equal(iou(boxes, boxes), [[1, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_a_box_inside_out_has_no_area():
    np.testing.assert_array_equal(area(np.float32([[0, 0, 3, 2], [3, 2, 0, 0]])), [6, 0])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("max_det", [5, 1000])
def test_nms_equals_brute_force(seed, max_det):
    rng = np.random.default_rng(seed)
    boxes = _random_boxes(rng, 80)
    # Few distinct scores, so that ties are met.
    scores = rng.integers(1, 10, 80).astype(np.float32) / 10
    class_ids = rng.integers(0, 3, 80)
    kept = nms(boxes, scores, class_ids, 0.3, max_det)
    assert kept.tolist() == _plain_nms(boxes, scores, class_ids, 0.3, max_det)


def test_nms_of_nothing_is_nothing():
    kept = nms(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, int), 0.5, 10)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


def test_an_overlap_of_exactly_the_threshold_is_allowed():
    boxes, scores = np.float32([[0, 0, 2, 1], [0, 0, 1, 1]]), np.float32([0.9, 0.8])
    assert nms(boxes, scores, np.zeros(2, int), 0.5, 10).tolist() == [0, 1]
    assert nms(boxes, scores, np.zeros(2, int), 0.49, 10).tolist() == [0]
