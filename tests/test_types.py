from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

import edgenn
from edgenn.types import Classification, Detections, Event


def test_all_that_the_package_promises_is_there():
    assert sorted(edgenn.__all__) == edgenn.__all__
    for name in edgenn.__all__:
        assert getattr(edgenn, name) is not None


def test_a_detection_is_named_by_its_label_or_by_its_number():
    found = Detections(
        np.zeros((2, 4), np.float32),
        np.float32([0.9, 0.8]),
        np.array([1, 7]),
        ("person", "bicycle"),
    )
    assert len(found) == 2
    assert [found.name(i) for i in range(2)] == ["bicycle", "7"]


def test_no_detections_have_the_shapes_of_some():
    none = Detections.empty(("a",))
    assert len(none) == 0
    assert none.boxes.shape == (0, 4)
    assert none.boxes.dtype == none.scores.dtype == np.float32
    assert none.class_ids.dtype == np.int64
    assert none.labels == ("a",)


def test_a_classification_knows_its_best_class():
    said = Classification(np.float32([0.2, 0.7, 0.1]), ("a", "b", "c"))
    assert (said.class_id, said.label) == (1, "b")
    assert said.score == pytest.approx(0.7)


def test_values_between_stages_cannot_be_changed():
    event = Event("wave", 0.0, 1.0, 0.9)
    with pytest.raises(FrozenInstanceError):
        event.label = "clap"
