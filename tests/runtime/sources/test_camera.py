from __future__ import annotations

import logging
import shutil
from functools import partial

import cv2
import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.devices import cameras
from edgenn.runtime.sources import Options
from edgenn.runtime.sources._v4l2 import find
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


@pytest.fixture
def two(tmp_path):
    """Folders as Linux has them with two cameras of one make."""
    folder, by_id = tmp_path / "class", tmp_path / "by-id"
    by_id.mkdir()
    for number in (0, 2):
        (folder / f"video{number}").mkdir(parents=True)
        (folder / f"video{number}" / "name").write_text("HD Webcam: HD Webcam", encoding="utf-8")
        (tmp_path / f"video{number}").touch()
        link = by_id / f"usb-Maker_HD_Webcam_SN{number}-video-index0"
        link.symlink_to(tmp_path / f"video{number}")
    (folder / "video4").mkdir()
    (folder / "video4" / "name").write_text("Microscope", encoding="utf-8")
    return folder, by_id


def test_a_camera_by_part_of_its_name(two):
    assert find("micro", *two) == "/dev/video4"
    assert find("hd_webcam_sn2", *two) == "/dev/video2"
    with pytest.raises(
        SourceError, match=r"'hd webcam' may be any of /dev/video0: .*SN0.*; /dev/video2: .*more of"
    ):
        find("hd webcam", *two)
    with pytest.raises(SourceError, match=r"no camera 'front'; there is .*/dev/video4: Microscope"):
        find("front", *two)


def test_settings_are_asked_for_and_what_came_of_them_is_told(driver, clip, caplog):
    text = f"{clip}?format=YUYV&exposure=200&gain=3&autofocus=0"
    open_source(text, Options(size=(128, 96))).close()
    asked = dict(driver.asked)
    assert asked[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"YUYV")
    assert asked[cv2.CAP_PROP_AUTO_EXPOSURE] == 1
    assert (asked[cv2.CAP_PROP_EXPOSURE], asked[cv2.CAP_PROP_GAIN]) == (200, 3)
    assert asked[cv2.CAP_PROP_AUTOFOCUS] == 0
    assert "asked for format YUYV, got MJPG" in caplog.text
    assert "asked for exposure 200, got 0" in caplog.text
    assert "width" not in caplog.text


def test_exposure_may_be_left_to_the_camera(driver, clip):
    open_source(f"{clip}?exposure=auto", Options()).close()
    assert dict(driver.asked)[cv2.CAP_PROP_AUTO_EXPOSURE] == 3
    assert cv2.CAP_PROP_EXPOSURE not in dict(driver.asked)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("colour=1", "no setting 'colour' of camera .*; there is format, exposure, gain, bright"),
        ("gain=high", "gain 'high' is not a number"),
        ("exposure=nan", "exposure 'nan' is not a number"),
        ("format=jpeg2000", "'JPEG2000' is not a four-letter code"),
    ],
)
def test_settings_that_there_are_not(driver, clip, query, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"{clip}?{query}", Options())


@pytest.mark.parametrize("fault", ["none", "size", "throws", "grey"])
def test_a_frame_that_is_not_usable_is_counted_and_skipped(driver, clip, fault):
    real = driver._file.retrieve
    count = 0

    def retrieve(buffer):
        nonlocal count
        count += 1
        ok, image = real(buffer)
        if count in (5, 6):
            if fault == "throws":
                raise cv2.error("a JPEG that is cut short")
            if fault == "grey":
                return ok, image[..., 0]
            return ok, None if fault == "none" else image[:50]
        return ok, image

    driver.retrieve = retrieve
    source = open_source(str(clip), Options())
    source.fps = 0  # it has no clock here
    frames = []
    with pytest.raises(SourceError, match="stopped delivering after 20 frames"):
        frames.extend(source)
    lost = 0 if fault == "grey" else 2
    assert [f.index for f in frames] == [i for i in range(20) if not lost or i not in (4, 5)]
    assert {f.image.shape for f in frames} == {(96, 128, 3)}
    assert source.dropped == lost


def test_only_frames_that_are_not_usable_are_a_failure(driver, clip):
    driver.grab, driver.retrieve = (lambda: True), (lambda _: (False, None))
    source = open_source(str(clip), Options())
    with pytest.raises(SourceError, match="nothing usable: 50 frames in a row"):
        next(iter(source))
    assert source.dropped >= 50


class Jpegs(Driver):
    """Gives JPEGs as they are once that was asked for, as OpenCV's V4L2 backend does."""

    sent = (b"",)
    count = 0

    def grab(self):
        self.count += 1
        return self._file.grab()

    def retrieve(self, buffer=None):
        assert (cv2.CAP_PROP_CONVERT_RGB, 0) in self.asked
        data = self.sent[self.count % len(self.sent)]
        return True, np.frombuffer(data, np.uint8).reshape(1, -1)


def test_a_jpeg_that_is_none_is_counted_and_not_taken_for_the_one_before(clip, monkeypatch):
    wanted = cv2.VideoCapture(str(clip)).read()[1]
    jpegs = Jpegs(clip)
    jpegs.sent = (cv2.imencode(".png", wanted)[1].tobytes(), bytes(5000))
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: jpegs)
    source = open_source(str(clip), Options())
    source.fps = 0  # it has no clock here
    frames = []
    with pytest.raises(SourceError, match="stopped delivering after 20 frames"):
        frames.extend(source)
    assert [frame.index for frame in frames] == list(range(1, 20, 2))
    assert all((frame.image == wanted).all() for frame in frames)
    assert source.dropped == 10


class Raw(Driver):
    """Gives BGR3 as OpenCV's V4L2 backend does: all bytes in one row."""

    rows = 96

    def retrieve(self, buffer=None):
        ok, image = self._file.retrieve()
        return ok, image[: self.rows].reshape(1, -1) if ok else None


def test_a_picture_that_comes_as_one_row_of_bytes_gets_its_shape(clip, monkeypatch):
    wanted = cv2.VideoCapture(str(clip)).read()[1]
    raw = Raw(clip)
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: raw)
    frame = next(iter(open_source(str(clip), Options())))
    assert frame.image.shape == (96, 128, 3)
    assert (frame.image == wanted).all()


def test_one_row_of_too_few_bytes_is_no_picture(clip, monkeypatch):
    raw = Raw(clip)
    raw.rows = 50
    monkeypatch.setattr(cv2, "VideoCapture", lambda *_: raw)
    source = open_source(str(clip), Options())
    with pytest.raises(SourceError, match="stopped delivering after 20 frames"):
        next(iter(source))
    assert source.dropped == 20


@pytest.fixture
def plugged(tmp_path):
    """Plugs a camera in, and out again: its node in /dev and what the kernel lists of it."""
    folder, dev = tmp_path / "class", tmp_path / "dev"
    dev.mkdir()

    def plug(node, port, name="HD Webcam"):
        (dev / node).touch()
        (tmp_path / port).mkdir(exist_ok=True)
        (folder / node).mkdir(parents=True)
        (folder / node / "name").write_text(f"{name}\n", encoding="utf-8")
        (folder / node / "index").write_text("0\n", encoding="utf-8")
        (folder / node / "device").symlink_to(tmp_path / port)

    def out(node):
        (dev / node).unlink()
        shutil.rmtree(folder / node)

    return plug, out, folder, dev


def test_a_camera_that_comes_back_under_another_number_is_found(plugged, monkeypatch, caplog):
    plug, out, folder, dev = plugged
    monkeypatch.setattr("edgenn.runtime.sources._v4l2.cameras", partial(nodes_in, folder, dev))
    plug("video0", "usb-1")
    plug("video4", "usb-2")  # one of the same make, which is another's
    assert find(f"{dev}/video0", folder) == f"{dev}/video0"
    out("video0")
    with pytest.raises(SourceError, match="there is no camera"):
        find(f"{dev}/video0", folder)
    plug("video1", "usb-1")
    assert find(f"{dev}/video0", folder) == f"{dev}/video1"
    assert "video0 is" in caplog.text
    plug("video0", "usb-3")  # a third one took its number
    assert find(f"{dev}/video0", folder) == f"{dev}/video1"
    out("video1")
    assert find(f"{dev}/video0", folder) == f"{dev}/video0"


def nodes_in(folder, dev, _):
    return [(str(dev / node.name), "HD Webcam") for node in sorted(folder.iterdir())]
