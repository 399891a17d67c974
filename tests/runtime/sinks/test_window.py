from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgenn.errors import SinkError
from edgenn.runtime.sinks import Finished
from edgenn.runtime.sinks.window import open_sink
from edgenn.types import Classification, Detections, Frame, Result, Window


@pytest.fixture
def desktop(monkeypatch):
    """A desktop for an OpenCV without windows: what is pressed and shown, and waits."""

    class Desktop:
        key, visible = -1, 1.0

        def __init__(self):
            self.shown, self.waits, self.windows = [], [], set()

        def wait_key(self, ms):
            self.waits.append(ms)
            return self.key

    desktop = Desktop()
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", lambda title, _: desktop.windows.add(title))
    monkeypatch.setattr(cv2, "destroyWindow", desktop.windows.remove)
    monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda _, image: desktop.shown.append(image))
    monkeypatch.setattr(cv2, "waitKey", desktop.wait_key)
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: desktop.visible)
    return desktop


def frame(time: float) -> Result:
    box = Detections(
        np.array([[2, 2, 9, 9]], np.float32), np.array([1], np.float32), np.array([0]), ("a",)
    )
    return Result(Frame(np.zeros((48, 64, 3), np.uint8), time, 0), box)


def test_shows_what_is_drawn_and_closes_once(desktop):
    sink = open_sink("title")
    sink.write(frame(0))
    assert desktop.shown[0].any()
    sink.close()
    sink.close()
    assert desktop.windows == set()


def test_a_recording_plays_no_faster_than_it_was_taken(desktop, monkeypatch):
    monkeypatch.setattr("edgenn.runtime.sinks.window.monotonic", lambda: 50.0)
    sink = open_sink("title")
    for time in (7.0, 7.25, 60.0, 6.0):
        sink.write(frame(time))
    assert desktop.waits == [1, 250, 1000, 1]


@pytest.mark.parametrize("key", [ord("q"), 27, 256 + 27])
def test_keys_that_end_the_run(desktop, key):
    sink = open_sink("title")
    desktop.key = key
    with pytest.raises(Finished):
        sink.write(frame(0))


def test_the_close_button_ends_the_run(desktop):
    sink = open_sink("title")
    sink.write(frame(0))
    desktop.visible = -1.0
    desktop.windows.clear()
    with pytest.raises(Finished):
        sink.write(frame(0.1))
    sink.close()


def test_readings_are_not_shown(desktop):
    scores = Classification(np.ones(1, np.float32), ("a",))
    with pytest.raises(SinkError, match="no pictures"):
        open_sink("title").write(Result(Window(np.zeros((2, 1), np.float32), 0, 1), scores))


def test_an_opencv_without_windows_names_the_extra(monkeypatch):
    def missing(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(cv2, "namedWindow", missing)
    with pytest.raises(SinkError, match=r"pip install 'edgenn\[gui\]'"):
        open_sink("title")


def test_no_window_without_a_desktop(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SinkError, match="there is no desktop here"):
        open_sink("title")
