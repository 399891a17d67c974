from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.runtime.temporal.gestures import build
from edgenn.types import Classification, Detections, Event, Frame, Window

LABELS = ("none", "wave", "push")
PLAIN = {
    "smooth": "none",
    "on": 0.6,
    "off": 0.4,
    "min_duration": 0.0,
    "refractory": 0.0,
    "background": ["none"],
}


def step(i: int) -> Window:
    """The i-th tenth of a second."""
    return Window(np.zeros((1, 1), np.float32), i / 10, (i + 1) / 10, i)


def scores(wave: float, push: float = 0.0) -> Classification:
    return Classification(np.array([1 - wave - push, wave, push], np.float32), LABELS)


def follow(stage, rows):
    """Events, each with the number of the step at which it came; -1 for the end of the stream."""
    found = []
    for i, row in enumerate(rows):
        said = scores(*row) if isinstance(row, tuple) else scores(row)
        found += [(e, i) for e in stage.update(step(i), said)[1]]
    return found + [(e, -1) for e in stage.reset()]


def spans(found):
    return [(e.label, round(e.start, 3), round(e.end, 3)) for e, _ in found]


def test_a_gesture_is_one_event_given_out_with_the_first_step_after_it():
    found = follow(build(PLAIN, LABELS), [0, 0, 0.9, 0.95, 0.9, 0, 0])
    assert spans(found) == [("wave", 0.2, 0.5)]
    event, at = found[0]
    assert at == 5
    assert event.score == pytest.approx(0.95)


def test_a_score_that_trembles_around_on_is_one_event():
    rows = [0, 0.7, 0.5, 0.7, 0.5, 0.45, 0.7, 0]
    assert spans(follow(build(PLAIN, LABELS), rows)) == [("wave", 0.1, 0.7)]
    one_threshold = build({**PLAIN, "off": 0.6}, LABELS)
    assert len(follow(one_threshold, rows)) == 3


def test_what_never_reaches_on_is_no_event():
    assert follow(build(PLAIN, LABELS), [0.55] * 20) == []


def test_the_event_starts_where_its_score_rose_over_off():
    rows = [0, 0.5, 0, 0.45, 0.5, 0.8, 0]
    assert spans(follow(build(PLAIN, LABELS), rows)) == [("wave", 0.3, 0.6)]


def test_short_blips_are_ignored_however_long_they_stayed_half_sure():
    stage = build({**PLAIN, "min_duration": 0.3}, LABELS)
    assert follow(stage, [0, 0.9, 0.9, 0, 0]) == []
    assert follow(stage, [0.5] * 10 + [0.9, 0]) == []
    assert spans(follow(stage, [0, 0.9, 0.9, 0.5, 0])) == [("wave", 0.1, 0.4)]


def test_ignored_blips_silence_nothing():
    stage = build({**PLAIN, "min_duration": 0.2, "refractory": 1.0}, LABELS)
    found = follow(stage, [0.9, 0, (0, 0.9), (0, 0.9), 0])
    assert spans(found) == [("push", 0.2, 0.4)]


def test_another_gesture_takes_over():
    found = follow(build(PLAIN, LABELS), [0.9, (0.45, 0.5), (0.45, 0.55), (0.3, 0.7), (0, 0.7), 0])
    assert [(e.label, round(e.end, 3), at) for e, at in found] == [
        ("wave", 0.3, 3),
        ("push", 0.5, 5),
    ]
    assert found[1][0].start >= found[0][0].end


def test_background_makes_no_event_and_does_not_take_over():
    assert follow(build(PLAIN, LABELS), [0.0] * 10) == []
    shy = build({**PLAIN, "on": 0.4, "off": 0.3}, LABELS)
    assert spans(follow(shy, [0.45, 0.35, 0.45, 0])) == [("wave", 0.0, 0.3)]
    everything = build({**PLAIN, "background": []}, LABELS)
    assert spans(follow(everything, [0.0] * 5)) == [("none", 0.0, 0.5)]


def test_in_refractory_time_nothing_is_counted_twice():
    rows = [0.9, 0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0, 0, 0.9, 0]
    once = follow(build({**PLAIN, "refractory": 0.4}, LABELS), rows)
    # The rise at once after the first event is the same gesture; the one after a rest is not.
    assert spans(once) == [("wave", 0.0, 0.1), ("wave", 1.1, 1.2)]
    assert len(follow(build(PLAIN, LABELS), rows)) == 3


def test_another_gesture_that_outlasts_refractory_time_begins_after_it():
    rows = [0.9, 0, (0, 0.9), (0, 0.9), (0, 0.9), (0, 0.9), (0, 0.9), 0]
    found = follow(build({**PLAIN, "refractory": 0.3}, LABELS), rows)
    assert spans(found) == [("wave", 0.0, 0.1), ("push", 0.4, 0.7)]


def test_a_drop_shorter_than_the_gap_is_none():
    rows = [0.9, 0.9, 0, 0.9, 0.9, 0, 0, 0]
    found = follow(build({**PLAIN, "max_gap": 0.2}, LABELS), rows)
    assert spans(found) == [("wave", 0.0, 0.5)]
    assert found[0][1] == 6


def test_a_class_may_have_its_own_threshold():
    stage = build({**PLAIN, "class_on": {"push": 0.3, "wave": 0.9}}, LABELS)
    assert spans(follow(stage, [0.8, 0, (0, 0.35), (0, 0.32), (0, 0.29)])) == [("push", 0.2, 0.4)]


def test_early_gives_a_gesture_out_once_while_it_goes_on():
    stage = build({**PLAIN, "min_duration": 0.3, "early": True}, LABELS)
    found = follow(stage, [0, 0.9, 0.9, 0.9, 0.9, 0.9, 0, 0])
    assert spans(found) == [("wave", 0.1, 0.4)]
    assert found[0][1] == 3
    assert follow(stage, [0.9] * 5)[0][1] == 2  # and not once more at the end of the stream


def test_lag_moves_the_event_but_not_when_it_is_given_out():
    rows = [0, 0, 0.9, 0.9, 0]
    (plain,), (moved,) = (follow(build({**PLAIN, "lag": x}, LABELS), rows) for x in (0.0, 0.2))
    assert spans([moved]) == [("wave", 0.0, 0.2)]
    assert moved[1] == plain[1]


def test_smoothing_by_falling_weight_and_by_mean():
    ema = build({**PLAIN, "smooth": "ema", "alpha": 0.25}, LABELS)
    mean = build({**PLAIN, "smooth": "mean", "length": 0.4}, LABELS)
    rows = [0.0, 0.8, 0.8, 0.8, 0.8, 0.4]
    seen = [
        [s.update(step(i), scores(x))[0].scores[1] for i, x in enumerate(rows)] for s in (ema, mean)
    ]
    assert seen[0][:3] == pytest.approx([0.0, 0.2, 0.35])
    assert seen[1] == pytest.approx([0.0, 0.4, 0.8 * 2 / 3, 0.6, 0.8, 0.7])


def test_memory_does_not_grow_with_the_stream():
    stage = build({**PLAIN, "smooth": "mean", "length": 1.0}, LABELS)
    for i in range(5000):
        stage.update(step(i), scores(0.5))
    assert len(stage._past) <= 10


def test_a_reset_cuts_the_gesture_off_and_forgets_the_stream():
    stage = build({**PLAIN, "smooth": "ema", "alpha": 0.1, "refractory": 5.0}, LABELS)
    for i in range(20):
        stage.update(step(i), scores(0.95))
    (cut,) = stage.reset()
    assert (cut.label, cut.start, cut.end) == ("wave", 0.0, 2.0)
    assert stage.reset() == ()
    # Neither the refractory time nor the smoothed scores of before reach over it.
    smooth, _ = stage.update(step(20), scores(0.0, 0.9))
    assert smooth.scores[2] == pytest.approx(0.9)
    assert [e.label for e in stage.reset()] == ["push"]


def test_a_gesture_cut_off_too_short_is_no_event():
    assert follow(build({**PLAIN, "min_duration": 0.3}, LABELS), [0, 0.9]) == []


def test_frames_are_points_in_time():
    stage = build({**PLAIN, "min_duration": 0.2}, LABELS)
    image = np.zeros((2, 2, 3), np.uint8)
    for i, score in enumerate([0, 0.9, 0.9, 0.9, 0]):
        _, events = stage.update(Frame(image, i / 10, i), scores(score))
    assert events == (Event("wave", 0.1, 0.3, pytest.approx(0.9)),)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"off": 0.7, "on": 0.6}, r"off \(0.7\) must not be above on \(0.6\)"),
        ({"alpha": 0}, "alpha"),
        ({"smooth": "median"}, "smooth"),
        ({"threshold": 0.5}, "threshold"),
        ({"min_duration": -1}, "min_duration"),
        ({"background": ["nome"]}, r"background names labels that are not there: \['nome'\]"),
        ({"class_on": {"wade": 0.5}}, r"class_on .*wade"),
        ({"class_on": {"wave": 1.5}}, "class_on.wave"),
    ],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ModelError, match=message):
        build(params, LABELS)


def test_detections_are_refused():
    with pytest.raises(ModelError, match="not detections"):
        build({}, LABELS).update(step(0), Detections.empty())
