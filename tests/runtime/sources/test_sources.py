from __future__ import annotations

import shutil
import sys

import cv2
import fake_picamera2
import numpy as np
import pytest

from edgenn import plugins
from edgenn.errors import SourceError, UsageError
from edgenn.runtime import sources
from edgenn.runtime.sources import Options, choose, open_source
from edgenn.types import Frame, Samples

NAMES = plugins.names(sources)
# What these say is tested with each: it depends on what is installed.
BOARDS = {"gst", "csi", "libcamera", "picamera"}


@pytest.fixture
def example(request, monkeypatch, clip, pictures, recording):
    """Something that each plug-in can open; a new plug-in needs a line here."""
    real = cv2.VideoCapture
    if request.param == "camera":
        monkeypatch.setattr(cv2, "VideoCapture", lambda name, *_: real(name))
    pipeline = "videotestsrc num-buffers=9 ! video/x-raw,width=96,height=64"
    if request.param in ("gst", "csi", "libcamera") and shutil.which("gst-launch-1.0") is None:
        pytest.skip("GStreamer is not installed: apt-get install gstreamer1.0-tools")
    if request.param in ("csi", "libcamera"):  # their elements are on boards only
        module = plugins.load(sources, request.param)
        monkeypatch.setattr(module, "pipeline", lambda *_: pipeline)
    if request.param == "picamera":
        monkeypatch.setitem(sys.modules, "picamera2", fake_picamera2)
        monkeypatch.setattr(fake_picamera2.Picamera2, "hangs_after", 9)
        monkeypatch.setattr(plugins.load(sources, "picamera"), "_TIMEOUT_S", 0.05)
    named = {
        "camera": clip,
        "video": clip,
        "images": pictures,
        "csv": recording,
        "gst": pipeline,
        "csi": "//0",
        "libcamera": "//0",
        "picamera": "0",
        "test": "//?size=96x64&frames=9",
    }
    return request.param, f"{request.param}:{named[request.param]}"


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_delivers_in_order_what_its_kind_says(example):
    name, text = example
    kind = plugins.load(sources, name).KIND
    with open_source(text, Options(), kind) as source:
        items = []
        try:
            items.extend(source)
        except SourceError:
            assert source.live  # only a live source may break off here
    assert items
    assert all(isinstance(item, Frame if kind == "image" else Samples) for item in items)
    if kind == "image":
        assert [f.index for f in items] == list(range(len(items)))
        times = [f.time for f in items]
        assert all(f.image.dtype == np.uint8 and f.image.shape[2] == 3 for f in items)
    else:
        times = np.concatenate([s.times for s in items])
        assert all(s.values.dtype == np.float32 for s in items)
    assert np.all(np.diff(times) >= 0)
    assert {item.source for item in items} == {source.name}
    assert source.fps > 0 or name == "csv"  # its times tell
    assert source.dropped == 0


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_frames_stay_what_they_were_when_more_are_taken(example):
    with open_source(example[1]) as source:
        items = iter(source)
        first = next(items)
        kept = first.image if isinstance(first, Frame) else first.values
        before = kept.copy()
        next(items)
        assert np.array_equal(kept, before)


@pytest.mark.parametrize("example", NAMES, indirect=True)
def test_closes_twice_and_half_way(example):
    source = open_source(example[1])
    next(iter(source))
    source.close()
    source.close()


@pytest.mark.parametrize("name", sorted({*NAMES} - BOARDS))
def test_says_what_is_missing(name, tmp_path):
    missing = tmp_path / "nothing.here"
    with pytest.raises(SourceError, match=r"there is no .*nothing\.here"):
        open_source(f"{name}:{missing}")


@pytest.mark.parametrize("name", NAMES)
def test_refuses_the_other_kind_before_opening(name):
    kind = plugins.load(sources, name).KIND
    other = "window" if kind == "image" else "image"
    takes = "takes pictures, but x delivers sensor readings"
    if other == "window":
        takes = "takes sensor readings, but x delivers pictures"
    with pytest.raises(UsageError, match=takes):
        open_source(f"{name}:x", kind=other)


@pytest.mark.parametrize(
    ("text", "plugin", "rest"),
    [
        ("0", "camera", "0"),
        ("/dev/video2", "camera", "/dev/video2"),
        ("street.mp4", "video", "street.mp4"),
        ("strange.ending", "video", "strange.ending"),
        ("rtsp://camera:554/1", "video", "rtsp://camera:554/1"),
        ("http://host/list.csv", "video", "http://host/list.csv"),
        ("photo.JPG", "images", "photo.JPG"),
        (".", "images", "."),
        ("run.CSV", "csv", "run.CSV"),
        ("csv:run.txt", "csv", "run.txt"),
        ("test://?fps=30", "test", "//?fps=30"),
        ("camera:/dev/front", "camera", "/dev/front"),
        ("other:x", "video", "other:x"),
        ("0?format=YUYV", "camera", "0?format=YUYV"),
        ("camera:HD Webcam: front", "camera", "HD Webcam: front"),
        ("camera:picamera:0", "picamera", "0"),
        ("camera:csi://0", "csi", "//0"),
        ("gst:rtspsrc location=rtsp://x ! a", "gst", "rtspsrc location=rtsp://x ! a"),
    ],
)
def test_chooses_by_what_was_written(text, plugin, rest):
    assert choose(text, NAMES) == (plugin, rest)
