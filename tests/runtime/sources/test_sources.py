from __future__ import annotations

import os
import shutil
import socket
import sys
import threading

import cv2
import fake_picamera2
import numpy as np
import pytest
from sensors import Broker, Port, SimulatedBus, accelerometer, feed

from edgenn import plugins
from edgenn.errors import SourceError, UsageError
from edgenn.runtime import sources
from edgenn.runtime.record import Recorder
from edgenn.runtime.sources import Options, _text, choose, i2c, open_source
from edgenn.runtime.sources import iio as iio_plugin
from edgenn.types import Frame, Samples

NAMES = plugins.names(sources)
# What these say is tested with each: it depends on what is installed.
BOARDS = {"gst", "csi", "libcamera", "picamera"}


LINES = [f"{i * 10},{i},{-i}\n".encode() for i in range(40)]


@pytest.fixture
def example(request, monkeypatch, clip, pictures, recording, tmp_path):
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
    if request.param == "recording":
        Recorder({"video": open_source(clip)}, tmp_path / "r").run()
    named = {
        "camera": lambda: clip,
        "video": lambda: clip,
        "images": lambda: pictures,
        "csv": lambda: recording,
        "test": lambda: "//?size=96x64&frames=9",
        "serial": lambda: request.getfixturevalue("port").path,
        "udp": lambda: request.getfixturevalue("datagrams"),
        "stdin": lambda: request.getfixturevalue("typed"),
        "mqtt": lambda: request.getfixturevalue("messages"),
        "i2c": lambda: request.getfixturevalue("bus"),
        "iio": lambda: request.getfixturevalue("iio"),
        "recording": lambda: tmp_path / "r",
        "gst": lambda: pipeline,
        "csi": lambda: "//0",
        "libcamera": lambda: "//0",
        "picamera": lambda: "0",
    }
    return request.param, f"{request.param}:{named[request.param]()}"


@pytest.fixture
def port():
    """A serial port that is unplugged after 40 lines."""
    with Port() as port:
        port.feed([b"time_ms,x,y\n", *LINES], then=port.unplug)
        yield port


@pytest.fixture
def datagrams(monkeypatch):
    """A port to which 40 lines are sent; then there is silence."""
    monkeypatch.setattr(_text, "SILENCE_S", 0.3)
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        feeding = feed([b"time_ms,x,y\n", *LINES], lambda b: out.sendto(b, ("127.0.0.1", number)))
        yield f"//127.0.0.1:{number}?columns=time_ms,x,y"
        feeding.join()


@pytest.fixture
def typed(monkeypatch):
    """Standard input with 40 lines."""
    read, write = os.pipe()
    feeding = feed(
        [b"time_ms,x,y\n", *LINES], lambda b: os.write(write, b), lambda: os.close(write)
    )
    with os.fdopen(read) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        yield "-"
        feeding.join()


@pytest.fixture
def messages(monkeypatch, tmp_path):
    """A topic with 40 messages; then there is silence."""
    monkeypatch.setattr(_text, "SILENCE_S", 0.3)
    with Broker(tmp_path) as broker, broker.sender() as send:
        feeding = feed([b'{"time_ms":%d,"x":1,"y":2}' % (10 * i) for i in range(40)], send)
        yield f"//me:secret@127.0.0.1:{broker.port}/wrist"
        feeding.join()


@pytest.fixture
def bus(monkeypatch):
    """A bus with an MPU-6050 that falls silent after 40 readings."""
    monkeypatch.setattr(i2c, "SMBus", lambda number: SimulatedBus(0x68, 0x75, 0x68, readings=40))
    return "//1/mpu6050?rate=200"


@pytest.fixture
def iio(monkeypatch, tmp_path):
    """A tree as of Linux, whose device is unplugged after half a second."""
    folder = accelerometer(tmp_path / "sys")
    opened = iio_plugin.open_source
    monkeypatch.setattr(iio_plugin, "open_source", lambda n, o: opened(n, o, tmp_path / "sys"))
    removal = threading.Timer(0.5, (folder / "in_accel_x_raw").unlink)
    removal.start()
    yield "device0?rate=200"
    removal.join()


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
        counts = np.cumsum([0, *(len(s.times) for s in items)])
        assert [s.index for s in items] == counts[:-1].tolist()
        assert {s.channels for s in items} == {items[0].channels}
        assert len(items[0].channels) == items[0].values.shape[1]
    assert np.all(np.diff(times) >= 0)
    assert {item.source for item in items} == {source.name}
    assert source.fps > 0 or kind == "window"  # its times tell
    # A simulated one that falls silent does so with failures; schedules slip on a busy machine.
    assert source.dropped == 0 or name in ("i2c", "iio")


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
    takes = "pictures are wanted, but x delivers sensor readings"
    if other == "window":
        takes = "sensor readings are wanted, but x delivers pictures"
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
        ("-", "stdin", "-"),
        ("stdin", "stdin", "-"),
        ("serial:/dev/ttyUSB0?baud=9600", "serial", "/dev/ttyUSB0?baud=9600"),
        ("/dev/ttyACM0", "serial", "/dev/ttyACM0"),
        ("/dev/serial/by-id/usb-x", "serial", "/dev/serial/by-id/usb-x"),
        ("udp://:5005", "udp", "//:5005"),
        ("mqtt://host/a", "mqtt", "//host/a"),
        ("mqtts://host/a", "mqtt", "mqtts://host/a"),
        ("i2c://1/mpu6050", "i2c", "//1/mpu6050"),
        ("iio:device0", "iio", "device0"),
        ("/dev/iio:device0", "iio", "/dev/iio:device0"),
        ("0?format=YUYV", "camera", "0?format=YUYV"),
        ("camera:HD Webcam: front", "camera", "HD Webcam: front"),
        ("camera:picamera:0", "picamera", "0"),
        ("camera:csi://0", "csi", "//0"),
        ("gst:rtspsrc location=rtsp://x ! a", "gst", "rtspsrc location=rtsp://x ! a"),
    ],
)
def test_chooses_by_what_was_written(text, plugin, rest):
    assert choose(text, NAMES) == (plugin, rest)


@pytest.mark.parametrize(
    ("text", "plugin"),
    [("run.txt", "csv"), ("0", "camera"), ("-", "stdin"), ("rtsp://host/1", "video")],
)
def test_a_file_that_is_said_to_hold_readings_is_a_csv_file(text, plugin):
    assert choose(text, NAMES, "window") == (plugin, text)
