from __future__ import annotations

import json

import numpy as np
import pytest

from edgenn.data import Recording
from edgenn.train.events import (
    Stream,
    background_labels,
    match,
    measure,
    overlap,
    stream_of,
    true_events,
)
from edgenn.types import Event

LABELS = ("none", "wave", "push")


def event(label: str, start: float, end: float) -> Event:
    return Event(label, start, end, 1.0)


def stream(truth, found, seconds=3600.0, **more) -> Stream:
    """Found ones are given out half a second after their end."""
    given = tuple((e, e.end + 0.5) for e in found)
    return Stream("s", tuple(truth), given, seconds, **more)


def test_overlap_is_intersection_over_union():
    a = event("wave", 1, 3)
    assert overlap(a, a) == 1
    assert overlap(a, event("wave", 2, 4)) == pytest.approx(1 / 3)
    assert overlap(a, event("wave", 3, 5)) == overlap(a, event("wave", 7, 9)) == 0
    assert overlap(event("wave", 1, 1), event("wave", 1, 1)) == 0


def test_half_of_both_together_decides():
    truth = [event("wave", 0, 2)]
    assert match(truth, [event("wave", 0, 4)]) == {0: 0}
    assert match(truth, [event("wave", 0, 4.1)]) == {}
    assert match(truth, [event("wave", 1, 2)]) == {0: 0}
    assert match(truth, [event("push", 0, 2)]) == {}


def test_each_true_event_is_found_once_and_each_found_one_counts_once():
    truth = [event("wave", 0, 2), event("wave", 10, 12)]
    pieces = [event("wave", 0, 1.1), event("wave", 1.1, 2), event("wave", 9.5, 12)]
    assert match(truth, pieces) == {0: 0, 2: 1}
    merged = [event("wave", 0, 12)]
    assert match(truth, merged) == {}
    twice = [event("wave", 0, 2), event("wave", 0.1, 2)]
    assert match(truth, twice) == {0: 0}


def test_figures_by_hand():
    truth = [event("wave", 0, 2), event("wave", 10, 12), event("push", 20, 22)]
    found = [
        event("wave", 0.1, 2.2),  # right, 0.7 s after
        event("wave", 10, 11.6),  # right, 0.1 s after
        event("wave", 20, 22),  # wrong label
        event("push", 50, 51),  # nothing there
    ]
    metrics = measure([stream(truth[:1], found[:1], 1800), stream(truth[1:], found[1:], 5400)])
    assert (metrics.true, metrics.found, metrics.right) == (3, 4, 2)
    assert metrics.precision == pytest.approx(0.5)
    assert metrics.recall == pytest.approx(2 / 3)
    assert metrics.f1 == pytest.approx(4 / 7)
    assert metrics.delay_ms == pytest.approx(400)
    assert metrics.delay_p90_ms == pytest.approx(640)
    assert metrics.hours == 2
    # One where nothing was, in two hours; the other one took a push for a wave.
    assert metrics.false_alarms == pytest.approx(0.5)
    assert metrics.confusions == 1
    wave, push = metrics.per_class["wave"], metrics.per_class["push"]
    assert (wave.true, wave.found, wave.right) == (2, 3, 2)
    assert (push.true, push.found, push.right) == (1, 1, 0)
    assert push.delay_ms is None
    assert push.false_alarms == pytest.approx(0.5)
    assert (wave.false_alarms, wave.confusions, push.confusions) == (0, 1, 0)


def test_a_gesture_found_in_pieces_is_no_false_alarm():
    truth = [event("wave", 0, 4)]
    pieces = [event("wave", 0, 1.5), event("wave", 2, 3.9), event("wave", 3.5, 8)]
    metrics = measure([stream(truth, pieces, 3600)])
    assert (metrics.right, metrics.confusions, metrics.false_alarms) == (0, 2, 1)


def test_an_event_given_out_while_the_gesture_goes_on_has_a_delay_below_zero():
    early = Stream("s", (event("wave", 0, 2),), ((event("wave", 0, 1.2), 1.2),), 10)
    assert measure([early]).delay_ms == pytest.approx(-800)


def test_nothing_found_and_nothing_there():
    none = measure([stream([event("wave", 0, 1)], [])])
    assert (none.f1, none.precision, none.recall, none.false_alarms) == (0, 0, 0, 0)
    quiet = measure([stream([], [event("wave", 0, 1)], 60)])
    assert quiet.recall == 0
    assert quiet.false_alarms == pytest.approx(60)
    assert measure([]).f1 == 0


def test_flat_numbers_are_json():
    metrics = measure([stream([event("wave", 0, 1)], [event("push", 0, 1)])])
    flat = json.loads(json.dumps(metrics.flat(), allow_nan=False))
    assert flat["event_f1"] == 0
    assert (flat["false_alarms_per_hour"], flat["confusions"]) == (0, 1)
    assert "delay_ms" not in flat
    assert flat["class/push/found_events"] == 1
    assert "class/push/hours" not in flat


def recording(ids) -> Recording:
    return Recording("r", np.zeros((len(ids), 1), np.float32), np.array(ids), 10.0, "g")


def test_runs_of_one_class_are_true_events():
    found = true_events(recording([0, 0, 1, 1, 1, 2, 2, -1, -1, 2]), LABELS, {0})
    assert found == (event("wave", 0.2, 0.4), event("push", 0.5, 0.6), event("push", 0.9, 0.9))
    assert [e.label for e in true_events(recording([0, 1]), LABELS)] == ["none", "wave"]


def test_what_is_found_where_nothing_is_labelled_counts_neither_way():
    ids = [0] * 100 + [-1] * 100 + [1] * 50
    inside, outside = event("wave", 12.0, 15.0), event("push", 5.0, 6.0)
    right = event("wave", 19.0, 24.9)
    found = [(e, e.end) for e in (outside, inside, right)]
    metrics = measure([stream_of(recording(ids), LABELS, {0}, found)])
    assert (metrics.true, metrics.found, metrics.right) == (1, 2, 1)
    assert metrics.hours == pytest.approx(15 / 3600)


def test_background_is_what_a_stage_names_else_what_sounds_like_it():
    assert background_labels(LABELS, {}) == ("none",)
    assert background_labels(("wave", "push"), {}) == ()
    assert background_labels(LABELS, {"gestures": {"background": ["push"]}}) == ("push",)
    assert background_labels(LABELS, {"smoothing": {"ignore": ["wave"]}}) == ("wave",)
    assert background_labels(LABELS, {"ctc": {}}) == ("none",)
    assert background_labels(LABELS, {"ctc": {"blank": "push"}}) == ("push",)
