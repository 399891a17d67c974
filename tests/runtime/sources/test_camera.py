from __future__ import annotations

import logging

import cv2
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources._v4l2 import cameras
from edgenn.runtime.sources.camera import open_source


class Driver:
    """Plays a file as a camera, noting what it was asked for."""

    def __init__(self, path):
        self._file = cv2.VideoCapture(str(path))
        self.asked = []

    def set(self, key, value):
        self.asked.append((key, value))
        return True

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.fixture
def driver(clip, monkeypatch):
    driver = Driver(clip)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: driver)
    return driver


def test_asks_for_mjpg_before_size_and_rate(driver, clip):
    open_source(str(clip), Options(size=(640, 480), fps=15)).close()
    assert driver.asked[:4] == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 640),
        (cv2.CAP_PROP_FRAME_HEIGHT, 480),
        (cv2.CAP_PROP_FPS, 15),
    ]


def test_says_what_the_camera_gave(driver, clip, caplog):
    with caplog.at_level(logging.INFO, "edgenn"):
        open_source(str(clip), Options(size=(640, 480))).close()
    assert "128x96 at 10 fps as MJPG" in caplog.text


def test_a_camera_that_stops_has_failed_not_ended(driver, clip):
    frames = []
    with pytest.raises(SourceError, match="stopped delivering after 20 frames"):
        frames.extend(open_source(str(clip), Options()))
    assert len(frames) == 20
    assert not driver.isOpened()


def test_counts_what_the_stated_rate_says_was_missed(driver, clip, monkeypatch):
    clock = iter([100.0, 100.1, 101.0])
    monkeypatch.setattr("edgenn.runtime.sources.camera.monotonic", lambda: next(clock))
    source = open_source(str(clip), Options())
    frames = iter(source)
    next(frames)
    next(frames)
    assert source.dropped == 0
    next(frames)
    assert source.dropped == 8  # at 10 per second, the third was number 10
    frames.close()


def test_a_file_is_no_camera(clip):
    with pytest.raises(SourceError, match=r"clip\.avi cannot be opened; is another program"):
        open_source(str(clip), Options())


def test_lists_the_cameras_that_there_are(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "pathlib.Path.glob", lambda *_: iter([tmp_path / "video4", tmp_path / "video2"])
    )
    with pytest.raises(SourceError, match=r"no camera /dev/video97; there is .*video2, .*video4"):
        open_source("97", Options())


def test_knows_cameras_by_name_without_their_metadata_nodes(tmp_path):
    for node, index, name in (
        ("video10", "0", "Doorbell"),
        ("video0", "0", "USB Camera: front"),
        ("video1", "1", "USB Camera: front"),
        ("media0", "0", "not a camera"),
    ):
        (tmp_path / node).mkdir()
        (tmp_path / node / "index").write_text(f"{index}\n", encoding="utf-8")
        (tmp_path / node / "name").write_text(f"{name}\n", encoding="utf-8")
    (tmp_path / "video2").mkdir()  # a driver that says nothing
    assert cameras(tmp_path) == [
        ("/dev/video0", "USB Camera: front"),
        ("/dev/video2", "without a name"),
        ("/dev/video10", "Doorbell"),
    ]
    assert cameras(tmp_path / "none") == []
