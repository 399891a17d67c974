"""The examples under deploy/ run, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"


def run(name, *args):
    command = [sys.executable, str(EXAMPLES / name), *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_example_is_tested_and_short():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    assert names == {
        *("print_detections.py", "count.py", "gestures.py"),
        *("gesture_lamp.py", "line.py", "service.py", "camera_and_sensor.py"),
    }
    for name in names:
        assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) < 45


def test_print_detections(tiny, clip):
    done = run("print_detections.py", clip, tiny / "tiny-detect.edgenn")
    lines = done.stdout.splitlines()
    assert len(lines) == 10 + 2 * 10
    assert lines[0] == "    0.00 s  red 1.00  from 16,16 to 32,32"


def test_count(tiny, clip):
    done = run("count.py", clip, tiny / "tiny-detect.edgenn", 2)
    assert done.stdout.splitlines() == [
        "1.00 s: a crowd of 2",
        "11 frames, most at once: {'red': 1, 'blue': 1}",
    ]


def test_gestures(tiny, recording):
    done = run("gestures.py", tiny / "tiny-sequence.edgenn", recording)
    first, *events = done.stdout.splitlines()
    assert first == "1.00 s of x, y at a time"
    assert [line.split()[5] for line in events] == ["low", "middle", "high"]


def test_line(tmp_path):
    source = Path(os.environ.get("EDGENN_DATA", "")) / "videos" / "vtest.avi"
    if "EDGENN_DATA" not in os.environ or not source.exists():
        pytest.skip("needs EDGENN_DATA with videos/vtest.avi")
    path, film = tmp_path / "walk.avi", cv2.VideoCapture(str(source))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (768, 576))
    for _ in range(120):
        writer.write(film.read()[1])
    writer.release()
    done = run("line.py", path, "person", 0.5)
    *lines, last = done.stdout.splitlines()
    assert lines, done.stderr
    ways = Counter(line.split(" s  ")[1].split("  ")[0] for line in lines)
    assert last == str(dict(ways))


def test_camera_and_sensor(tiny, clip, recording):
    done = run("camera_and_sensor.py", clip, recording, tiny / "tiny-detect.edgenn")
    lines = done.stdout.splitlines()
    assert len(lines) == 20
    assert lines[0].endswith("1 readings, shaken 0.00, seen: red")
    assert lines[-1].endswith("2 readings, shaken 0.25, seen: red, blue")


def test_a_mistake_is_a_sentence(tiny):
    done = run("count.py", "missing.mp4", tiny / "tiny-detect.edgenn")
    assert done.returncode == 1
    # LiteRT greets on standard error.
    assert done.stderr.splitlines()[-1] == "there is no video or other source at missing.mp4"
    assert "Traceback" not in done.stderr
