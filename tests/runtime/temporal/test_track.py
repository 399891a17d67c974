from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.runtime.model import load
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.temporal import lines, track, zones
from edgenn.types import Classification, Detections, Frame

LABELS = ("person", "car")
ARRAYS = ("boxes", "scores", "class_ids")
IMAGE = np.zeros((200, 400, 3), np.uint8)


def boxes(*middles, score=0.9, class_id=0):
    found = np.array([(x - 10, y - 20, x + 10, y + 20) for x, y in middles], np.float32)
    count = len(middles)
    return Detections(
        found.reshape(-1, 4),
        np.full(count, score, np.float32),
        np.full(count, class_id, np.int64),
        LABELS,
    )


def ids(found):
    return found.tracks.ids.tolist()


def follow(stages, times, at):
    """Predictions and events of stages in a row over frames at ``times``."""
    shown, events = [], []
    for n, time in enumerate(times):
        prediction = at(time)
        for stage in stages:
            prediction, new = stage.update(Frame(IMAGE, float(time), n), prediction)
            events += new
        shown.append(prediction)
    return shown, events


def test_two_that_pass_each_other_keep_their_numbers_at_uneven_rate():
    times = np.cumsum(np.random.default_rng(0).uniform(0.02, 0.12, 60))

    def at(t):
        return boxes((40 + 80 * t, 80), (360 - 80 * t, 95))

    shown, _ = follow([track.build({}, LABELS)], times, at)
    assert len(shown[0]) == 0  # not yet confirmed
    for time, found in zip(times[1:], shown[1:], strict=True):
        assert ids(found) == [1, 2], time
    assert shown[-1].tracks.speeds[:, 0] == pytest.approx([80, -80], abs=8)
    assert shown[-1].tracks.ages == pytest.approx(times[-1] - times[0], abs=1e-3)


def test_an_object_that_is_hidden_for_a_while_is_the_same_one():
    def at(t):
        return boxes() if 1 < t < 1.6 else boxes((40 + 60 * t, 80))

    times = np.arange(0, 3, 0.1)
    shown, _ = follow([track.build({"max_age": 1.0}, LABELS)], times, at)
    assert ids(shown[-1]) == [1]
    shown, _ = follow([track.build({"max_age": 0.3}, LABELS)], times, at)
    assert ids(shown[-1]) == [2]


def test_weak_boxes_carry_a_track_on_but_begin_none():
    times = np.arange(0, 2, 0.1)
    weak, _ = follow([track.build({}, LABELS)], times, lambda t: boxes((50, 50), score=0.2))
    assert not any(len(found) for found in weak)
    shown, _ = follow(
        [track.build({}, LABELS)], times, lambda t: boxes((50, 50), score=0.9 if t < 1 else 0.2)
    )
    assert ids(shown[-1]) == [1]


def test_a_weak_box_confirms_what_a_strong_one_began():
    shown, _ = follow(
        [track.build({}, LABELS)], [0.0, 0.1], lambda t: boxes((50, 50), score=0.9 - 7 * t)
    )
    assert [ids(found) for found in shown] == [[], [1]]


def test_what_shrinks_behind_another_is_the_same_one_when_it_is_back():
    def at(t):
        if 1.3 < t < 2:
            return boxes()
        found = boxes((100, 80))
        found.boxes[0, [0, 2]] = (
            100 - (width := 10 - 20 * max(0, t - 1) if t < 2 else 10),
            100 + width,
        )
        return found

    shown, _ = follow([track.build({}, LABELS)], np.arange(0, 2.5, 0.1), at)
    assert ids(shown[-1]) == [1]


def test_a_crowd_is_followed_alike_each_time():
    people = np.stack([np.arange(8) * 45 + 30, np.tile([50, 120], 4)], axis=1)
    speeds = np.random.default_rng(1).normal(0, 12, (8, 2))

    def crowd():
        """Who is where, with boxes that jitter, are missing or score low."""
        rng = np.random.default_rng(2)
        for t in np.arange(0, 5, 0.1):
            seen = np.flatnonzero(rng.random(8) > 0.15)
            middles = (people + speeds * t)[seen] + rng.normal(0, 1, (len(seen), 2))
            found = boxes(*middles)
            found.scores[:] = rng.choice([0.2, 0.9], len(seen), p=[0.2, 0.8])
            yield t, seen, found

    runs = []
    for _ in range(2):
        stage, given = track.build({}, LABELS), []
        for n, (t, seen, found) in enumerate(crowd()):
            shown, _ = stage.update(Frame(IMAGE, float(t), n), found)
            who = {
                box.tobytes(): int(person) for box, person in zip(found.boxes, seen, strict=True)
            }
            given += [(who[b.tobytes()], i) for b, i in zip(shown.boxes, ids(shown), strict=True)]
        runs.append(given)
    assert runs[0] == runs[1]
    assert len(runs[0]) > 300
    pairs = set(runs[0])
    assert len(pairs) == 8  # each has one number of his own
    assert len({number for _, number in pairs}) == 8


def test_after_a_reset_numbers_are_new_and_classes_are_apart():
    stage = track.build({"min_hits": 1}, LABELS)
    first, _ = stage.update(Frame(IMAGE, 0.0, 0), boxes((50, 50)))
    assert stage.reset() == ()
    again, _ = stage.update(Frame(IMAGE, 0.1, 1), boxes((50, 50)))
    other, _ = stage.update(Frame(IMAGE, 0.2, 2), boxes((50, 50), class_id=1))
    assert [ids(x) for x in (first, again, other)] == [[1], [2], [3]]


def test_people_on_a_real_clip_keep_their_numbers():
    data = os.environ.get("EDGENN_DATA")
    clip = Path(data or "") / "videos" / "vtest.avi"
    if not data or not clip.exists():
        pytest.skip("needs EDGENN_DATA with videos/vtest.avi")
    lasting: list[dict[int, float]] = []
    for _ in range(2):
        ages: dict[int, float] = {}
        with Pipeline(clip, load("person", conf=0.1), max_frames=60, stages={"track": {}}) as run:
            for result in run:
                tracks = result.prediction.tracks
                assert len(set(ids(result.prediction))) == len(tracks.ids)
                ages |= dict(zip(tracks.ids.tolist(), tracks.ages.tolist(), strict=True))
        lasting.append(ages)
    assert lasting[0] == lasting[1]  # the same each time
    assert sum(age > 3 for age in lasting[0].values()) >= 3


def test_tracks_are_bounded():
    stage = track.build({"min_hits": 1, "max_tracks": 3}, LABELS)
    crowd, _ = stage.update(Frame(IMAGE, 0.0, 0), boxes(*((30 * i, 50) for i in range(8))))
    assert ids(crowd) == [1, 2, 3]


def there_and_back(t):
    return boxes((200 - 160 * np.cos(t * np.pi / 4), 100))


def test_a_line_counts_both_ways_and_only_between_its_ends():
    stage = lines.build({"lines": {"door": [0.5, 0, 0.5, 1], "far": [200, 0, 200, 50]}}, LABELS)
    _, events = follow([track.build({}, LABELS), stage], np.arange(0, 8, 0.05), there_and_back)
    assert [(e.label, e.track, e.count) for e in events] == [("door:out", 1, 1), ("door:in", 1, 1)]
    assert events[0].start == pytest.approx(2.0, abs=0.2)


def test_what_is_watched_is_there_to_be_drawn_with_its_counts():
    watched = [
        lines.build({"lines": {"door": [0.5, 0, 0.5, 1]}}, LABELS),
        zones.build({"zones": {"mat": [160, 0, 240, 0, 240, 200]}}, LABELS),
    ]
    follow([track.build({}, LABELS), *watched], np.arange(0, 2.2, 0.05), there_and_back)
    frame = Frame(np.zeros((200, 400, 3), np.uint8), 3.0, 0, "test")
    door, mat = (mark for stage in watched for mark in stage.marks(frame))
    assert (door.text, door.points.tolist(), door.closed) == (
        "door in 0 out 1",
        [[200, 0], [200, 200]],
        False,
    )
    assert (mat.text, mat.points.tolist(), mat.closed) == (
        "mat 1",
        [[160, 0], [240, 0], [240, 200]],
        True,
    )


def test_a_zone_tells_who_enters_and_how_long_he_stays():
    stage = zones.build({"zones": {"mat": [160, 0, 240, 0, 240, 200, 160, 200]}}, LABELS)
    _, events = follow([track.build({}, LABELS), stage], np.arange(0, 3.95, 0.05), there_and_back)
    assert [(e.label, e.track, e.count) for e in events] == [
        ("mat:enter", 1, 1),
        ("mat:leave", 1, 0),
    ]
    assert events[1].end - events[1].start == pytest.approx(0.64, abs=0.06)
    follow([track.build({"min_hits": 1}, LABELS), stage], [10.0], lambda t: boxes((200, 100)))
    assert [e.label for e in stage.reset()] == ["mat:leave"]
    assert stage.reset() == ()


@pytest.mark.parametrize(
    ("stage", "labels"),
    [
        (
            lines.build({"lines": {"door": [200, 0, 200, 200]}, "classes": ["car"]}, LABELS),
            "door:out",
        ),
        (
            zones.build({"zones": {"mat": [160, 0, 240, 0, 240, 200]}, "classes": ["car"]}, LABELS),
            "mat:enter",
        ),
    ],
)
def test_other_labels_do_not_count(stage, labels):
    """A person and a car go the same way, one below the other."""

    def at(t):
        person, car = boxes((60 + 80 * t, 40)), boxes((60 + 80 * t, 120), class_id=1)
        both = (np.concatenate([getattr(person, n), getattr(car, n)]) for n in ARRAYS)
        return Detections(*both, LABELS)

    shown, events = follow([track.build({}, LABELS), stage], np.arange(0, 3, 0.1), at)
    number = ids(shown[-1])[shown[-1].class_ids.tolist().index(1)]
    assert {(e.label, e.track) for e in events if not e.label.endswith("leave")} == {
        (labels, number)
    }


def test_a_model_that_gives_some_labels_alone_counts_these():
    def at(t):
        return boxes((60 + 80 * t, 120), class_id=1)

    stage = lines.build({"lines": {"door": [200, 0, 200, 200]}}, LABELS)
    _, events = follow([track.build({}, LABELS), stage], np.arange(0, 3, 0.1), at)
    assert [(e.label, e.count) for e in events] == [("door:out", 1)]


@pytest.mark.parametrize("kind", [track, lines, zones])
def test_scores_of_a_classifier_are_refused(kind):
    said = Classification(np.array([0.5, 0.5], np.float32), LABELS)
    with pytest.raises(ModelError, match="not scores of a classifier"):
        kind.build({}, LABELS).update(Frame(IMAGE, 0.0, 0), said)


@pytest.mark.parametrize("kind", [lines, zones])
def test_without_tracks_it_says_what_is_missing(kind):
    with pytest.raises(ModelError, match="needs tracks"):
        kind.build({}, LABELS).update(Frame(IMAGE, 0.0, 0), boxes((50, 50)))


@pytest.mark.parametrize(
    ("kind", "params", "message"),
    [
        (track, {"low": 0.5, "high": 0.4}, "must not be above"),
        (lines, {"lines": {"a": [1, 1, 1, 1]}}, "begins where it ends"),
        (zones, {"zones": {"a": [1, 1, 2, 2]}}, "three or more"),
        (zones, {"zones": {"a": [0, 0, 1, 1, 0.5, 0.5]}}, "corners of a lie on one line"),
        (lines, {"classes": ["cat"]}, "cat"),
    ],
)
def test_wrong_parameters_are_named(kind, params, message):
    with pytest.raises(ModelError, match=message):
        kind.build(params, LABELS)
