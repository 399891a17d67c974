from __future__ import annotations

import numpy as np
import pytest

from edgenn.train.matching import curve, curves, match
from edgenn.types import Detections

BOX, FAR = [0, 0, 10, 10], [50, 50, 60, 60]


def found(boxes, scores, class_ids):
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
        ("a", "b"),
    )


def truth(boxes, class_ids):
    return np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int64)


def test_a_true_box_is_found_once_by_the_best_of_its_class():
    said = found([BOX, BOX, BOX, FAR], [0.9, 0.8, 0.7, 0.6], [1, 0, 0, 0])
    assert match(said, *truth([BOX, FAR], [0, 0])).tolist() == [False, True, False, True]


def test_half_an_overlap_is_enough_and_less_is_not():
    right, wrong = [0, 0, 10, 5.1], [0, 0, 10, 4.9]
    assert match(found([right], [1], [0]), *truth([BOX], [0])).tolist() == [True]
    assert match(found([wrong], [1], [0]), *truth([BOX], [0])).tolist() == [False]


def test_nothing_matches_where_nothing_is():
    assert match(found([BOX], [1], [0]), *truth([], [])).tolist() == [False]
    assert match(found([], [], []), *truth([BOX], [0])).tolist() == []


def test_the_best_threshold_is_where_f1_peaks():
    scores = np.array([0.3, 0.9, 0.5, 0.7], np.float32)
    right = np.array([False, True, False, True])
    line = curve(scores, right, true=3)
    assert line.precision == pytest.approx([1, 1, 2 / 3, 1 / 2])
    assert line.recall == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    conf, f1 = line.best()
    assert f1 == pytest.approx(0.8)
    assert conf == pytest.approx(0.6)  # half way between 0.7, still right, and 0.5, wrong


def test_equal_scores_stand_or_fall_together():
    line = curve(np.array([0.5, 0.5], np.float32), np.array([True, False]), true=1)
    assert line.scores.tolist() == [0.5]
    assert (line.precision.tolist(), line.recall.tolist()) == ([0.5], [1.0])


def test_a_class_that_is_never_found_has_no_useful_threshold():
    lines = curves([found([FAR], [0.9], [1])], [truth([BOX, FAR], [0, 1])])
    assert lines[0].best() == (1.0, 0.0)
    assert lines[1].best()[1] == 1.0
