"""Real pipelines of GStreamer, in a process of their own."""

from __future__ import annotations

import shutil
import threading
from time import monotonic

import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options, _gst, csi, libcamera
from edgenn.runtime.sources._gst_packages import mend
from edgenn.runtime.sources.gst import open_source

pytestmark = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None,
    reason="GStreamer is not installed: apt-get install gstreamer1.0-tools "
    "gstreamer1.0-plugins-base",
)
RED = "pattern=solid-color foreground-color=0xffff0000"


def bars(**caps):
    text = ",".join(f"{key}={value}" for key, value in caps.items())
    return f"videotestsrc num-buffers=5 pattern=smpte ! video/x-raw,{text}"


@pytest.mark.parametrize(("width", "height"), [(320, 240), (322, 241), (321, 7), (1923, 33)])
def test_rows_that_gstreamer_pads_are_read_rightly(width, height):
    source = open_source(bars(width=width, height=height, framerate="50/1"), Options())
    assert (source.live, source.fps) == (False, 50)
    frames = list(source)
    assert [f.time for f in frames] == [i / 50 for i in range(5)]
    for frame in frames:
        assert frame.image.shape == (height, width, 3)
        # Upright bars: all rows of the upper half are alike, seven colours from white to blue.
        upper = frame.image[: height // 2].astype(int)
        assert np.abs(upper - upper[:1]).max() < 3
        assert upper[0, 2].min() > 170
        blue, green, red = upper[0, -3]
        assert blue > 170 > 30 > max(green, red)


def test_takes_a_pipeline_written_for_opencv_and_scales_it():
    source = open_source(f"videotestsrc {RED} num-buffers=2 ! appsink drop=1", Options((50, 30)))
    frames = list(source)
    assert [f.image.shape for f in frames] == [(30, 50, 3)] * 2
    assert frames[0].image[9, 9].tolist() == [0, 0, 255]


def test_every_frame_of_what_is_not_live_counts():
    source = open_source("videotestsrc num-buffers=200 ! video/x-raw,width=64,height=48", Options())
    frames = iter(source)
    next(frames)
    threading.Event().wait(0.3)
    assert len(list(frames)) == 199
    assert source.dropped == 0


def test_a_live_one_has_the_clock_and_has_failed_at_its_end():
    name = "videotestsrc is-live=true num-buffers=8 ! video/x-raw,framerate=50/1"
    source = open_source(name, Options())
    assert source.live
    begun, frames = monotonic(), []
    with pytest.raises(SourceError, match=r"broke off after . frames"):
        frames.extend(source)
    assert len(frames) >= 5
    assert begun - 1 < frames[0].time < frames[-1].time < monotonic()


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (
            "videotestsrc ! nosuchthing",
            'no element "nosuchthing"; if .*`apt-file search nosuchthing`',
        ),
        ("filesrc location=/no/such ! decodebin", 'not found: No such file "/no/such"'),
        ("videotestsrc ! ", "syntax error"),
        ("videotestsrc name='x", "no closing quotation"),
        ("fakesrc num-buffers=0", "picture|negotiated|ended"),
        ("", "a pipeline is missing"),
        (
            "rtspsrc location=rtsp://me:secret@127.0.0.1:9/x user-pw=secret ! decodebin",
            "rtsp://127",
        ),
    ],
)
def test_says_what_is_wrong_and_never_a_password(pipeline, message):
    with pytest.raises(SourceError, match=message) as caught:
        list(open_source(pipeline, Options()))
    assert "secret" not in str(caught.value)


def test_an_error_in_mid_stream():
    pipeline = "videotestsrc num-buffers=20 ! identity error-after=10"
    frames = []
    with pytest.raises(SourceError, match="error-after"):
        frames.extend(open_source(pipeline, Options()))
    assert len(frames) in range(5, 11)


def test_a_pipeline_that_hangs_is_killed(monkeypatch):
    monkeypatch.setattr(_gst, "_TIMEOUT_S", 0.5)
    with pytest.raises(SourceError, match=r"delivered nothing for 0\.5 s"):
        open_source("appsrc", Options())
    source = open_source("videotestsrc is-live=true ! identity sleep-time=90000000", Options())
    with pytest.raises(SourceError, match=r"delivered nothing for 0\.5 s"):
        next(iter(source))
    assert source._process.returncode is not None


def test_closing_from_another_thread_ends_the_wait():
    source = open_source("videotestsrc is-live=true ! identity sleep-time=90000000", Options())
    threading.Timer(0.3, source.close).start()
    begun = monotonic()
    assert list(source) == []
    assert monotonic() - begun < 3


def test_frames_that_are_kept_stay_and_others_are_used_again():
    pipeline = "videotestsrc num-buffers=30 pattern=ball ! video/x-raw,width=322,height=240"
    kept, places = [], set()
    for frame in open_source(pipeline, Options()):
        places.add(frame.image.ctypes.data)
        if frame.index in (3, 4):
            kept.append((frame, frame.image.copy()))
    assert all(np.array_equal(frame.image, before) for frame, before in kept)
    assert len(places) <= 5


def test_without_gstreamer(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SourceError, match=r"sudo apt install gstreamer1\.0-tools gstreamer1\.0-pl"):
        open_source("videotestsrc", Options())


def test_a_jetson_is_asked_for_its_size_rate_and_turn():
    assert csi.pipeline("//1?flip-method=2", Options((1920, 1080), 29.97)) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM),width=1920,height=1080,"
        "framerate=29970/1000 ! nvvidconv flip-method=2 ! video/x-raw,format=BGRx"
    ).replace("29970/1000", "2997/100")
    for wrong, message in (("//x", "no camera csi"), ("//0?flip-method=9", "flip-method '9'")):
        with pytest.raises(SourceError, match=message):
            csi.pipeline(wrong, Options())
    with pytest.raises(SourceError, match=r"JetPack: sudo apt install nvidia-l4t-gstreamer"):
        csi.open_source("//0", Options())


def test_libcamera_by_place_or_name():
    size = "video/x-raw,width=640,height=480,framerate=15/1"
    options = Options((640, 480), 15)
    assert libcamera.pipeline("//0", options) == f"libcamerasrc ! {size}"
    named = libcamera.pipeline("///base/i2c@1/imx219@10", options)
    assert named == f"libcamerasrc camera-name=/base/i2c@1/imx219@10 ! {size}"
    with pytest.raises(SourceError, match="the first is libcamera://0"):
        libcamera.pipeline("//1", options)
    with pytest.raises(SourceError, match=r"gstreamer1\.0-plugins-base gstreamer1\.0-libcamera$"):
        libcamera.open_source("//0", Options())


def test_names_the_package_of_an_element():
    assert mend('no element "rtspsrc"') == ": sudo apt install gstreamer1.0-plugins-good"
    assert mend("Missing decoder: H.264").endswith("gstreamer1.0-libav gstreamer1.0-plugins-good")
    assert mend("Internal data stream error.") == ""
