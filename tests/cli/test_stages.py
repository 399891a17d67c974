"""What is concluded over time, from the flags of ``edgenn run`` to the terminal and the outputs."""

from __future__ import annotations

import hashlib
import json
import sys

import cv2
import gpiozero
import numpy as np
import onnx
import pytest
from gpiozero.pins.mock import MockFactory

from edgenn.bundle.store import open_bundle, write_bundle
from edgenn.cli import main
from edgenn.cli._stages import StageFlags
from edgenn.runtime.model import load

DOOR = ("--line", "door=64,0,64,96")  # who goes right goes out
MAT = ("--zone", "mat=0.4,0,0.6,0,0.6,1,0.4,1")


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs ``edgenn run`` in this process: exit code, standard output, standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgenn", "run", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, *capsys.readouterr()

    return run


@pytest.fixture(scope="session")
def squares(tiny, tmp_path_factory):
    """tiny-detect with boxes of twice the size: those of neighbouring cells overlap."""
    bundle = open_bundle(tiny / "tiny-detect.edgenn")
    plain = next(v for v in bundle.manifest.variants if v.file == "model.fp32.onnx")
    net = onnx.load_from_string(bundle.read(plain.file))
    (bias,) = [tensor for tensor in net.graph.initializer if tensor.name == "boxes.bias"]
    bias.CopyFrom(onnx.numpy_helper.from_array(np.ones(4, np.float32), bias.name))
    data = net.SerializeToString()
    sha256 = hashlib.sha256(data).hexdigest()
    variant = plain.model_copy(update={"sha256": sha256, "size": len(data)})
    manifest = bundle.manifest.model_copy(update={"variants": (variant,), "golden": None})
    path = tmp_path_factory.mktemp("squares") / "squares.edgenn"
    write_bundle(manifest, {plain.file: data}, path)
    return path


@pytest.fixture
def walk(tmp_path):
    """50 frames at 10 per second: a red square goes right, and back; a blue one stays."""
    path = tmp_path / "walk.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for i in range(50):
        image = np.full((96, 128, 3), 20, np.uint8)
        x = 8 + 4 * min(i, 49 - i)
        image[16:32, x : x + 16] = (0, 0, 255)
        image[64:80, 16:32] = (255, 0, 0)
        writer.write(image)
    writer.release()
    return path


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_objects_are_numbered(run, squares, walk, tmp_path):
    code, stdout, _ = run(squares, "--source", walk, "--track", "--out", tmp_path / "o.jsonl")
    assert (code, stdout) == (0, "")
    lines = read(tmp_path / "o.jsonl")
    assert not any("events" in line for line in lines)
    numbers = {(d["label"], d["track"]) for line in lines for d in line["detections"]}
    assert sorted(label for label, _ in numbers) == ["blue", "red"]  # one number each
    reds = [(line["time"], d) for line in lines for d in line["detections"] if d["label"] == "red"]
    for time, red in reds:
        assert red["age"] == pytest.approx(time - 0.1, abs=0.11)
    # The net's boxes go by steps.
    right = np.mean([red["speed"] for time, red in reds if 0.8 < time < 2.3], axis=0)
    assert right == pytest.approx([40, 0], abs=12)


def test_crossings_and_stays_are_in_the_output(run, squares, walk, tmp_path):
    args = (squares, "--source", walk, *DOOR, *MAT)
    for name in ("a", "b"):
        assert run(*args, "--out", tmp_path / name)[0] == 0
    lines = read(tmp_path / "a")
    events = [event for line in lines for event in line.get("events", [])]
    assert [(e["label"], e["count"]) for e in events] == [
        ("mat:enter", 1),
        ("door:out", 1),
        ("mat:leave", 0),
        ("mat:enter", 1),
        ("door:in", 1),
        ("mat:leave", 0),
    ]
    (red,) = {d["track"] for d in lines[23]["detections"] if d["label"] == "red"}
    assert {e["track"] for e in events} == {red}
    assert events[1]["end"] == pytest.approx(1.2, abs=0.21)
    assert events[2]["end"] - events[2]["start"] == pytest.approx(0.6, abs=0.21)
    # The same again each time but for how long it took.
    again = read(tmp_path / "b")
    assert [{**line, "latency_ms": 0} for line in lines] == [
        {**line, "latency_ms": 0} for line in again
    ]


def test_the_terminal_shows_events_with_who_and_how_many(run, squares, walk):
    code, out, _ = run(squares, "--source", walk, *DOOR)
    assert code == 0
    first, second = out.splitlines()
    assert "door:out" in first
    assert "door:in" in second
    assert first.endswith("  #2  count 1")
    assert second.endswith("  #2  count 1")


def test_two_lines_in_parts_of_the_picture_count_apart(run, squares, walk, tmp_path):
    args = ("--line", "near=0.3,0,0.3,1", "--line", "low=0,0.5,1,0.5", "--out", tmp_path / "o")
    assert run(squares, "--source", walk, *args)[0] == 0
    labels = [e["label"] for line in read(tmp_path / "o") for e in line.get("events", [])]
    assert labels == ["near:out", "near:in"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--line", "door=1,2,3"], "'door=1,2,3' is not NAME=x1,y1,x2,y2"),
        (["--line", "1,2,3,4"], "is not NAME=x1,y1,x2,y2"),
        (["--zone", "mat=1,2,3,4"], "'mat=1,2,3,4' is not NAME=x,y,x,y,x,y"),
        ([*MAT, *MAT], "'mat' is given twice"),
        (["--line", "door=5,5,5,5"], "door begins where it ends"),
        ([*DOOR, "--gpio", "17=door:inn"], "no label or event 'door:inn'; did you mean 'door:in'"),
    ],
)
def test_mistakes_are_named(run, squares, walk, args, message):
    code, _, err = run(squares, "--source", walk, *args)
    assert code
    assert message in err


def test_a_crossing_switches_a_pin(run, squares, walk, monkeypatch):
    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    kept = [factory.pin(number) for number in (17, 22)]
    code, _, err = run(squares, "--source", walk, *DOOR, "--gpio", "17=door:in,22=door:out")
    assert code == 0, err
    for pin in kept:
        assert [state.state for state in pin.states].count(True) == 1


def test_events_of_lines_and_zones_are_known_by_name(squares):
    flags = StageFlags(track=False, line={"door": (0, 0, 0, 1)}, zone={"mat": (0, 0, 1, 0, 1, 1)})
    labels = ("door:in", "door:out", "mat:enter", "mat:leave")
    assert flags.event_labels(load(squares)) == labels
    assert StageFlags(track=True, line={}, zone={}).event_labels(load(squares)) == ()
