from __future__ import annotations

import math

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.classes import build, recognise, settle, softmax


def test_scores_are_the_softmax_of_the_logits():
    logits = np.random.default_rng(0).normal(0, 5, (1, 4)).astype(np.float32)
    said = build({}, tuple("abcd"), None)({"logits": logits}, None)
    powers = [math.exp(float(v)) for v in logits[0]]
    np.testing.assert_allclose(said.scores, [p / sum(powers) for p in powers], rtol=1e-5)
    assert said.scores.dtype == np.float32
    assert said.label == "abcd"[int(logits.argmax())]


def test_large_logits_do_not_overflow():
    np.testing.assert_array_equal(softmax(np.float32([1000, -1000, 1000])), [0.5, 0, 0.5])


def test_softmax_runs_over_the_last_axis():
    rows = np.random.default_rng(1).normal(size=(3, 5)).astype(np.float32)
    np.testing.assert_allclose(softmax(rows), np.stack([softmax(row) for row in rows]), rtol=1e-6)


def test_another_number_of_scores_than_labels_is_refused():
    with pytest.raises(ModelError, match="gives 4 scores for 2 labels"):
        build({}, ("a", "b"), None)({"logits": np.zeros((1, 4), np.float32)}, None)


def test_parameters_are_refused():
    with pytest.raises(ModelError, match="no parameter 'conf'; there is activation"):
        build({"conf": 0.5}, ("a",), None)


@pytest.mark.parametrize(
    ("count", "labels", "sure"),
    [
        (512, 0, False),
        (512, 512, True),
        (136, 0, False),
        (100, 0, True),
        (4, 0, False),
        (4, 4, True),
    ],
)
def test_as_many_numbers_as_features_or_points_have_are_no_sure_scores(count, labels, sure):
    assert recognise(Foreign({}, {"y": (1, count)}, (112, 112), labels)).sure == sure


def test_features_of_length_1_are_no_scores():
    match = recognise(Foreign({}, {"y": (1, 128)}, (112, 112)))
    rows = np.random.default_rng(0).normal(size=(3, 1, 128)).astype(np.float32)
    assert (
        settle(match, [{"logits": row} for row in rows], (112, 112))[0].params["activation"]
        == "softmax"
    )
    unit = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    with pytest.raises(ModelError, match="features to compare"):
        settle(match, [{"logits": row} for row in unit], (112, 112))
