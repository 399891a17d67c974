from __future__ import annotations

import json

import pytest

from edgenn.errors import UsageError
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.replay import compare, decision, read, write


def line(frame, *seen, events=()):
    things = [{"label": label, "score": 0.5} for label in seen]
    made = {"schema": 1, "time": frame / 10, "frame": frame, "detections": things}
    return {**made, "events": list(events)} if events else made


def event(label, start, end):
    return {"label": label, "start": start, "end": end, "score": 0.9}


def test_the_same_is_the_same_and_a_digit_is_not():
    lines = [line(0, "cat"), line(1, "cat", "dog")]
    assert compare(lines, lines, 0) == []
    (found,) = compare([lines[0], line(1, "cat", "cow")], lines, 0)
    assert (found.line, found.what) == (2, "line")
    assert '"cow"' in found.expected
    assert '"dog"' in found.got
    assert '"frame"' not in found.got


def test_lines_that_are_missing_or_too_many():
    lines = [line(0, "cat"), line(1)]
    (missing,) = compare(lines, lines[:1], 0)
    assert (missing.line, missing.got) == (2, "")
    (more,) = compare(lines[:1], lines, 0)
    assert (more.line, more.expected) == (2, "")
    assert len(compare([], lines, 0)) == 2


def test_events_within_the_tolerance_by_label_and_both_ends():
    want = [line(0), line(1, events=[event("sit", 1.0, 2.0), event("run", 3.0, 4.0)])]
    got = [line(0, events=[event("run", 3.1, 3.9)]), line(1, events=[event("sit", 1.0, 2.05)])]
    assert compare(want, got, 0.11) == []
    (one, two) = compare(want, got, 0.06)
    assert (one.what, json.loads(two.expected)["label"]) == ("event", "run")
    assert {one.expected == "", two.got == ""} == {True}
    assert [d.what for d in compare(want, got, 0)] == ["event", "event"]


def test_one_event_does_not_stand_for_two():
    want = [line(0, events=[event("sit", 1.0, 2.0), event("sit", 1.05, 2.0)])]
    got = [line(0, events=[event("sit", 1.0, 2.0)])]
    (missing,) = compare(want, got, 0.5)
    assert json.loads(missing.expected)["start"] == 1.05


def test_what_is_seen_may_be_late_within_the_tolerance():
    want = [line(0), line(1, "cat"), line(2, "cat", "cat")]
    got = [line(0), line(1), line(2, "cat"), line(3, "cat", "cat")]
    assert compare(want, got, 0.15) == []
    found = compare(want, got, 0.05)
    assert [(d.line, d.expected, d.got) for d in found] == [
        (2, "1 cat", "nothing"),
        (3, "2 cat", "1 cat"),
    ]


def test_a_list_of_events_alone_is_compared_by_them(tmp_path):
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps({"events": [event("sit", 1.0, 2.0)]}) + "\n")
    got = [line(0, "cat"), line(1, "dog", events=[event("sit", 1.0, 2.0)])]
    assert compare(read(path), got, 0) == []
    assert len(compare(read(path), got[:1], 0)) == 1


@pytest.mark.parametrize("realtime", [False, True])
def test_two_replays_are_the_same_bytes(tiny, clip, tmp_path, realtime):
    from edgenn.runtime.paced import Paced
    from edgenn.runtime.record import Recorder
    from edgenn.runtime.sources import open_source

    Recorder({"video": open_source(clip)}, tmp_path / "r").run()
    texts = []
    for name in ("a", "b"):
        source = open_source(tmp_path / "r")
        paced = Paced(source) if realtime and name == "b" else source
        results = Pipeline(paced, tiny / "tiny-detect.edgenn")
        write(tmp_path / name, [decision(result) for result in results])
        texts.append((tmp_path / name).read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].count(b"\n") == 20
    assert b'"red"' in texts[0]
    assert compare(read(tmp_path / "a"), read(tmp_path / "b"), 0) == []


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"time": 1}', '{"detections": []}', '{"events": [{"label": "a"}]}', ""],
)
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "e.jsonl"
    path.write_text(text + "\n")
    with pytest.raises(UsageError, match=r"e.jsonl, line 1 is none that edgenn run --out"):
        read(path)
    with pytest.raises(UsageError, match=r"cannot be read: .*--update writes it"):
        read(tmp_path / "none.jsonl")
