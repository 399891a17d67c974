from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess

import numpy as np
import pytest

from edgenn.errors import SinkError, UsageError
from edgenn.runtime.sinks import Finished
from edgenn.runtime.sinks.jsonl import JsonlSink, json_schema, open_sink, to_dict
from edgenn.types import Classification, Detections, Event, Frame, Result, Tracks, Window

LATENCY = {"capture": 1, "preprocess": 2, "inference": 3.00049, "decode": 4, "total": 10}
IMAGE = np.zeros((4, 4, 3), np.uint8)
BOXES = Detections(
    np.array([[1.005, 2, 30.119, 40], [-0.0, 0, 5, 5]], np.float32),
    np.array([0.91239, 0.5], np.float32),
    np.array([1, 0]),
    ("dog", "person"),
)
FOUND = Result(Frame(IMAGE, 1.5, 15, "clip.mp4"), BOXES, (), LATENCY)
HEARD = Result(
    Window(np.zeros((2, 1), np.float32), 1.0, 2.25, 3, "wrist.csv"),
    Classification(np.array([0.1, 0.6, 0.05, 0.05, 0.1, 0.1], np.float32), tuple("abcdef")),
    (Event("a", 0.25, 2.25, 0.87654),),
    LATENCY,
)
FOLLOWED = Result(
    FOUND.item,
    Detections(
        BOXES.boxes[:1],
        BOXES.scores[:1],
        BOXES.class_ids[:1],
        BOXES.labels,
        np.array([[[1.006, -0.0, 0.98765], [3, 4, 0.5]]], np.float32),
        Tracks(
            np.array([7]), np.array([1.25049], np.float32), np.array([[12.54, -0.01]], np.float32)
        ),
    ),
    (Event("door:in", 1.5, 1.5, 0.91239, 7, 3), Event("mat:leave", 0.5, 1.5, 0.9, 7, 0)),
    LATENCY,
)


def conforms(value, schema) -> bool:
    """As much of JSON Schema as ours uses."""
    if "const" in schema:
        return value == schema["const"]
    kind = schema["type"]
    if kind == "object":
        return (
            isinstance(value, dict)
            and set(schema["required"]) <= set(value) <= set(schema["properties"])
            and all(conforms(v, schema["properties"][k]) for k, v in value.items())
        )
    if kind == "array":
        return (
            isinstance(value, list)
            and schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1000)
            and all(conforms(v, schema["items"]) for v in value)
        )
    python = {"number": (int, float), "integer": int, "string": str}[kind]
    low, high = schema.get("minimum", -np.inf), schema.get("maximum", np.inf)
    return isinstance(value, python) and (kind == "string" or low <= value <= high)


def test_a_detector_gives_exactly_this():
    assert to_dict(FOUND) == {
        "schema": 1,
        "time": 1.5,
        "frame": 15,
        "source": "clip.mp4",
        "detections": [
            {"label": "person", "class_id": 1, "score": 0.9124, "box": [1.0, 2.0, 30.12, 40.0]},
            {"label": "dog", "class_id": 0, "score": 0.5, "box": [0.0, 0.0, 5.0, 5.0]},
        ],
        "latency_ms": {**LATENCY, "inference": 3.0},
    }
    assert "-0.0" not in json.dumps(to_dict(FOUND))


def test_a_sequence_model_gives_exactly_this():
    assert to_dict(HEARD) == {
        "schema": 1,
        "time": 2.25,
        "frame": 3,
        "source": "wrist.csv",
        "labels": [
            {"label": "b", "score": 0.6},
            {"label": "a", "score": 0.1},
            {"label": "e", "score": 0.1},
            {"label": "f", "score": 0.1},
            {"label": "c", "score": 0.05},
        ],
        "events": [{"label": "a", "start": 0.25, "end": 2.25, "score": 0.8765}],
        "latency_ms": {**LATENCY, "inference": 3.0},
    }


def test_key_points_tracks_and_crossings_are_told():
    line = to_dict(FOLLOWED)
    assert line["detections"] == [
        {
            "label": "person",
            "class_id": 1,
            "score": 0.9124,
            "box": [1.0, 2.0, 30.12, 40.0],
            "keypoints": [[1.01, 0.0, 0.9876], [3.0, 4.0, 0.5]],
            "track": 7,
            "age": 1.25,
            "speed": [12.5, 0.0],
        }
    ]
    assert line["events"] == [
        {"label": "door:in", "start": 1.5, "end": 1.5, "score": 0.9124, "track": 7, "count": 3},
        {"label": "mat:leave", "start": 0.5, "end": 1.5, "score": 0.9, "track": 7, "count": 0},
    ]
    assert "-0.0" not in json.dumps(line)


def test_nothing_found_is_an_empty_list_and_a_picture_has_its_path():
    result = Result(Frame(IMAGE, 0, 0, "shots", "shots/a.jpg"), Detections.empty(), (), LATENCY)
    line = to_dict(result)
    assert line["detections"] == []
    assert line["path"] == "shots/a.jpg"


@pytest.mark.parametrize("result", [FOUND, HEARD, FOLLOWED])
def test_the_schema_describes_the_lines(result):
    line = json.loads(json.dumps(to_dict(result)))
    schema = json_schema()
    assert conforms(line, schema)
    assert not conforms({**line, "frame": -1}, schema)
    assert not conforms({k: v for k, v in line.items() if k != "time"}, schema)
    assert not conforms({**line, "other": 1}, schema)


@pytest.mark.parametrize(
    ("key", "value"), [("track", 1.5), ("age", "1"), ("speed", [1.0]), ("keypoints", [[1, 2]])]
)
def test_the_schema_refuses_what_no_tracker_gives(key, value):
    line = to_dict(FOLLOWED)
    line["detections"][0][key] = value
    assert not conforms(line, json_schema())


def test_every_line_is_there_at_once(tmp_path):
    path = tmp_path / "o.jsonl"
    sink = open_sink(str(path))
    for count in (1, 2):
        sink.write(FOUND)
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["frame"] for line in lines] == [15] * count
    sink.close()


def test_labels_stay_readable(tmp_path):
    path = tmp_path / "o.jsonl"
    sink = open_sink(str(path))
    boxes = Detections(BOXES.boxes, BOXES.scores, BOXES.class_ids, ("Hündin", "人"))
    sink.write(Result(FOUND.item, boxes))
    sink.close()
    assert "Hündin" in path.read_text(encoding="utf-8")


def test_a_reader_that_went_away_ends_the_run():
    reading, writing = os.pipe()
    sink = JsonlSink(os.fdopen(writing, "w"), "pipe")
    sink.write(FOUND)
    os.close(reading)
    with pytest.raises(Finished):
        sink.write(FOUND)
    with pytest.raises(SinkError):  # what it still held goes nowhere
        sink.close()


def test_a_full_disk_is_said():
    sink = open_sink("/dev/full")
    with pytest.raises(SinkError, match="cannot write /dev/full: No space left"):
        sink.write(FOUND)
    with pytest.raises(SinkError):
        sink.close()


def frames(path):
    return [json.loads(line)["frame"] for line in path.read_text(encoding="utf-8").splitlines()]


def numbered(sink, numbers):
    for i in numbers:
        sink.write(Result(Frame(IMAGE, i / 10, i, "clip.mp4"), BOXES, (), LATENCY))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this user cannot mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("max_mb", [None, 0.02])
def test_a_disk_that_fills_up_and_has_room_again_leaves_whole_lines(small_disk, max_mb):
    path, ballast = small_disk / "o.jsonl", small_disk / "ballast"
    sink = open_sink(str(path), max_mb=max_mb)
    numbered(sink, range(5))
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    failed = [i for i in range(5, 60) if is_refused(sink, i)]
    assert failed
    assert all(line.endswith("}") for line in path.read_text(encoding="utf-8").splitlines())
    ballast.unlink()
    numbered(sink, range(60, 65))
    sink.close()
    written = [i for name in ("o.jsonl.1", "o.jsonl") for i in frames_if_there(path, name)]
    assert written == [i for i in range(65) if i not in failed]


def is_refused(sink, i):
    try:
        numbered(sink, [i])
    except SinkError as error:
        return "No space left" in str(error)
    return False


def frames_if_there(path, name):
    path = path.with_name(name)
    return frames(path) if path.exists() else []


def test_half_a_line_that_cannot_be_taken_back_stands_alone(tmp_path, monkeypatch):
    path = tmp_path / "o.jsonl"
    sink = open_sink(str(path))
    numbered(sink, [0])

    def refuse(file, size):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "ftruncate", refuse)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 40, before[1]))
    try:
        with pytest.raises(SinkError, match="File too large"):
            numbered(sink, [1])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    numbered(sink, [2])
    sink.close()
    first, torn, last = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["frame"] for line in (first, last)] == [0, 2]
    assert len(torn) == 40


def test_a_power_cut_loses_seconds_at_most(tmp_path, monkeypatch):
    synced, now = [], [0.0]
    monkeypatch.setattr("edgenn.runtime.sinks.jsonl.monotonic", lambda: now[0])
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(now[0]))
    sink = open_sink(str(tmp_path / "o.jsonl"))
    for i in range(100):
        now[0] = i / 5
        numbered(sink, [i])
    assert synced == [5.0, 10.0, 15.0]
    sink.close()


def test_a_file_is_rotated_and_five_old_ones_are_kept(tmp_path):
    path = tmp_path / "o.jsonl"
    sink = open_sink(str(path), max_mb=0.001)
    numbered(sink, range(100))
    sink.close()
    names = ["o.jsonl.5", "o.jsonl.4", "o.jsonl.3", "o.jsonl.2", "o.jsonl.1", "o.jsonl"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(names)
    assert all(0 < (tmp_path / name).stat().st_size <= 1000 for name in names)
    kept = [i for name in names for i in frames(tmp_path / name)]
    assert kept == list(range(100 - len(kept), 100))


def test_a_rotated_file_goes_on_after_a_restart_and_half_a_line(tmp_path):
    path = tmp_path / "o.jsonl"
    for numbers in (range(2), range(2, 3)):
        sink = open_sink(str(path), max_mb=1)
        numbered(sink, numbers)
        sink.close()
    assert frames(path) == [0, 1, 2]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"schema": 1, "ti')
    sink = open_sink(str(path), max_mb=1)
    numbered(sink, [3])
    sink.close()
    *_, torn, last = path.read_text(encoding="utf-8").splitlines()
    assert torn == '{"schema": 1, "ti'
    assert json.loads(last)["frame"] == 3


@pytest.mark.parametrize("zeros", [3, 4096, 9000])
def test_zeros_that_a_power_cut_left_are_taken_away(tmp_path, zeros):
    path = tmp_path / "o.jsonl"
    for number in range(2):
        sink = open_sink(str(path), max_mb=1)
        numbered(sink, [number])
        sink.close()
        with path.open("ab") as file:
            file.write(bytes(zeros))
    path.write_bytes(path.read_bytes() + b"x")  # behind zeros there may be more
    sink = open_sink(str(path), max_mb=1)
    numbered(sink, [2])
    sink.close()
    first, second, torn, last = path.read_bytes().splitlines()
    assert [json.loads(line)["frame"] for line in (first, second, last)] == [0, 1, 2]
    assert torn == bytes(zeros) + b"x"


def test_a_line_larger_than_the_limit_is_still_written(tmp_path):
    path = tmp_path / "o.jsonl"
    sink = open_sink(str(path), max_mb=1e-6)
    numbered(sink, range(2))
    sink.close()
    assert (frames(tmp_path / "o.jsonl.1"), frames(path)) == ([0], [1])


def test_what_is_rotated_and_closed_is_on_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.fstat(fd).st_size))
    sink = open_sink(str(tmp_path / "o.jsonl"), max_mb=1e-6)
    numbered(sink, range(2))
    assert len(synced) == 1
    sink.close()
    assert len(synced) == 2
    assert min(synced) > 100


@pytest.mark.parametrize("target", ["-", "/dev/null", "/"])
def test_only_files_are_rotated(target):
    with pytest.raises(UsageError, match=f"--out-max-mb needs a file in --out, which {target} is"):
        open_sink(target, max_mb=1)
