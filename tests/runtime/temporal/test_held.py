from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.runtime.temporal.held import build
from edgenn.types import Detections, Frame, Tracks

LABELS = ("hand", "stop", "wave")


def follow(spans, **params):
    """Events of (label or None, frames) spans of object 1, at 10 frames a second."""
    stage = build({"min_duration": 0.3, "background": ["hand"], **params}, LABELS)
    events, i = [], 0
    for label, count in spans:
        for _ in range(count):
            ids = [] if label is None else [LABELS.index(label)]
            n = len(ids)
            found = Detections(
                np.zeros((n, 4), np.float32),
                np.full(n, 0.9, np.float32),
                np.array(ids, np.int64),
                LABELS,
                tracks=Tracks(
                    np.ones(n, np.int64), np.zeros(n, np.float32), np.zeros((n, 2), np.float32)
                ),
            )
            _, ended = stage.update(Frame(np.zeros((1, 1, 3), np.uint8), i / 10, i), found)
            events += [(e.label, round(e.start, 1), round(e.end, 1)) for e in ended]
            i += 1
    return events


def test_an_event_comes_once_a_label_has_held_and_once_only():
    assert follow([("hand", 5), ("stop", 10)]) == [("stop", 0.5, 0.8)]


def test_what_holds_too_short_and_the_background_are_no_events():
    assert follow([("stop", 3), ("wave", 3), ("hand", 20)]) == []


def test_a_short_slip_or_gap_makes_no_second_event():
    assert follow([("stop", 5), ("wave", 1), ("stop", 5), (None, 1), ("stop", 5)]) == [
        ("stop", 0.0, 0.3)
    ]


def test_the_same_label_counts_again_after_another_or_a_pause():
    assert [e[0] for e in follow([("stop", 5), ("wave", 6), ("stop", 6)])] == [
        "stop",
        "wave",
        "stop",
    ]
    assert [e[0] for e in follow([("stop", 5), (None, 5), ("stop", 5)])] == ["stop", "stop"]


def test_unknown_labels_and_untracked_objects_are_refused():
    with pytest.raises(ModelError, match="no label 'nod'"):
        build({"background": ["nod"]}, LABELS)
    stage = build({}, LABELS)
    with pytest.raises(ModelError, match="add the stage track"):
        stage.update(Frame(np.zeros((1, 1, 3), np.uint8), 0.0, 0), Detections.empty(LABELS))


def test_its_events_are_called_as_the_labels_that_are_no_background():
    assert build({"background": ["hand"]}, LABELS).event_labels == ("stop", "wave")
