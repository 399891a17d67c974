from __future__ import annotations

import gpiozero
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edgenn import plugins
from edgenn.errors import SinkError
from edgenn.runtime import sinks
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

NAMES = plugins.names(sinks)
BOX = Detections(
    np.array([[8, 8, 40, 40]], np.float32), np.array([0.75], np.float32), np.array([1]), ("a", "b")
)
LATENCY = {"capture": 1.0, "preprocess": 2.0, "inference": 3.0, "decode": 4.0, "total": 10.0}


def frame(i: int, size: tuple[int, int] = (64, 96)) -> Result:
    image = np.full((*size, 3), 50, np.uint8)
    return Result(Frame(image, i / 10, i, "clip"), BOX, (), LATENCY)


def window(i: int) -> Result:
    scores = Classification(np.array([0.2, 0.8], np.float32), ("sit", "walk"))
    item = Window(np.zeros((4, 2), np.float32), i / 2, i / 2 + 1, i, "wrist")
    return Result(item, scores, (Event("sit", 0, i / 2, 0.9),), LATENCY)


@pytest.fixture
def target(tmp_path, monkeypatch):
    """What to open each plug-in with; a new plug-in needs a line here."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(gpiozero.Device, "pin_factory", MockFactory())
    monkeypatch.setattr("edgenn.runtime.sinks.webhook._FIRST_PAUSE_S", 10.0)  # nobody answers
    return {
        "jsonl": str(tmp_path / "o.jsonl"),
        "video": str(tmp_path / "o.mp4"),
        "memory": "10",
        "mqtt": "mqtt://127.0.0.1:9/edgenn",
        "webhook": "http://127.0.0.1:9/",
        "web": "0",
        "gpio": "17",
    }


@pytest.mark.parametrize("name", [n for n in NAMES if n != "window"])
def test_takes_frames_leaves_them_alone_and_closes_twice(name, target):
    sink = plugins.load(sinks, name).open_sink(target[name], 10.0)
    results = [frame(i) for i in range(3)]
    for result in results:
        before = result.item.image.copy()
        sink.write(result)
        assert np.array_equal(result.item.image, before)
    sink.close()
    sink.close()


@pytest.mark.parametrize("name", [n for n in NAMES if n != "window"])
def test_windows_are_taken_or_refused_in_a_sentence(name, target):
    sink = plugins.load(sinks, name).open_sink(target[name], 10.0)
    if name == "video":
        with pytest.raises(SinkError, match="sensor readings have no pictures"):
            sink.write(window(0))
    else:
        sink.write(window(0))
    sink.close()


@pytest.mark.parametrize("name", ["jsonl", "video"])
def test_a_folder_that_is_not_there(name, tmp_path):
    path = tmp_path / "no" / ("o.mp4" if name == "video" else "o.jsonl")
    with pytest.raises(SinkError, match=r"cannot write .*no.o\."):
        plugins.load(sinks, name).open_sink(str(path), 10.0)


def test_memory_keeps_the_newest(tmp_path):
    sink = plugins.load(sinks, "memory").open_sink("3", 0.0)
    for i in range(5):
        sink.write(frame(i))
    assert [r.item.index for r in sink.results] == [2, 3, 4]
