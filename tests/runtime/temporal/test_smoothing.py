from __future__ import annotations

import numpy as np
import pytest

from edgenn import plugins
from edgenn.errors import ModelError
from edgenn.runtime import temporal
from edgenn.runtime.temporal.smoothing import build
from edgenn.types import Classification, Detections, Event, Frame, Window

LABELS = ("rest", "wave", "jog")


def window(i: int) -> Window:
    """Two seconds long, half a second after the one before."""
    return Window(np.zeros((4, 1), np.float32), i / 2, i / 2 + 2, i)


def says(label: str, score: float = 1.0) -> Classification:
    scores = np.full(3, (1 - score) / 2, np.float32)
    scores[LABELS.index(label)] = score
    return Classification(scores, LABELS)


def follow(stage, words):
    events = []
    for i, word in enumerate(words):
        _, ended = stage.update(window(i), says(word))
        events.append(ended)
    return events


def test_scores_are_averaged_with_falling_weight():
    stage = build({"alpha": 0.25}, LABELS)
    stage.update(window(0), says("rest"))
    stage.update(window(1), says("wave"))
    smooth, _ = stage.update(window(2), says("wave"))
    assert np.allclose(smooth.scores, [0.75**2, 1 - 0.75**2, 0])


def test_a_stretch_of_one_label_is_one_event():
    stage = build({"alpha": 1, "ignore": ["rest"]}, LABELS)
    events = follow(stage, ["rest", "wave", "wave", "jog", "rest", "rest"])
    assert events == [
        (),
        (),
        (),
        (Event("wave", 2.0, 3.0, 1.0),),
        (Event("jog", 3.0, 3.5, 1.0),),
        (),
    ]
    assert stage.reset() == ()


def test_the_last_stretch_ends_with_the_stream():
    stage = build({"alpha": 1}, LABELS)
    follow(stage, ["jog", "jog"])
    assert stage.reset() == (Event("jog", 0.0, 2.5, 1.0),)
    assert stage.reset() == ()


def test_a_single_slip_is_no_event():
    stage = build({"alpha": 0.4}, LABELS)
    assert follow(stage, ["jog", "jog", "wave", "jog", "jog"]) == [()] * 5


def test_what_is_not_sure_is_no_event():
    stage = build({"alpha": 1, "threshold": 0.9}, LABELS)
    stage.update(window(0), says("jog"))
    _, ended = stage.update(window(1), says("jog", 0.8))
    assert [e.label for e in ended] == ["jog"]
    assert stage.reset() == ()


def test_after_a_reset_nothing_of_before_counts():
    stage = build({"alpha": 0.1}, LABELS)
    follow(stage, ["jog"] * 5)
    stage.reset()
    smooth, _ = stage.update(window(9), says("wave"))
    assert smooth.label == "wave"


def test_frames_are_points_in_time():
    stage = build({"alpha": 1}, LABELS)
    image = np.zeros((2, 2, 3), np.uint8)
    for i in range(3):
        stage.update(Frame(image, i / 10, i), says("wave"))
    assert stage.reset() == (Event("wave", 0.0, 0.2, 1.0),)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 0}, "alpha"),
        ({"alpha": 1.5}, "alpha"),
        ({"threshold": 2}, "threshold"),
        ({"decay": 0.5}, "decay"),
        ({"ignore": ["rset"]}, "rset"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ModelError, match=message):
        build(params, LABELS)


OF_BOXES = {"held", "lines", "track", "zones"}


@pytest.mark.parametrize("name", sorted(set(plugins.names(temporal)) - OF_BOXES))
def test_every_stage_takes_a_prediction_and_forgets(name):
    stage = plugins.load(temporal, name).build({}, LABELS)
    prediction, events = stage.update(window(0), says("wave"))
    assert prediction.labels == LABELS
    assert isinstance(events, tuple)
    stage.reset()
    assert stage.reset() == ()


def test_detections_are_refused():
    with pytest.raises(ModelError, match="not detections"):
        build({}, LABELS).update(window(0), Detections.empty())
