"""The Raspberry Pi's own camera, with a stand-in for picamera2."""

from __future__ import annotations

import sys
import time

import fake_picamera2
import numpy as np
import pytest
from fake_picamera2 import Picamera2

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options, _v4l2
from edgenn.runtime.sources import picamera as plugin
from edgenn.runtime.sources.picamera import open_source


@pytest.fixture
def pi(monkeypatch):
    """The class that plays picamera2."""
    monkeypatch.setattr(Picamera2, "made", [])
    monkeypatch.setitem(sys.modules, "picamera2", fake_picamera2)
    return Picamera2


def test_pictures_without_padding_that_may_be_kept(pi):
    source = open_source("0", Options((322, 24), 20))
    frames = []
    for frame in source:
        frames.append(frame)
        if len(frames) == 4:
            break
    assert [f.image.shape for f in frames] == [(24, 322, 3)] * 4
    for frame in frames:
        assert np.all(frame.image == frame.index)
    assert pi.made[0].main["stride"] > 3 * 322
    assert pi.made[0].main["format"] == "RGB888"
    assert source.fps == 20
    assert np.allclose(np.diff([f.time for f in frames]), 1 / 20, atol=1e-3)
    source.close()
    source.close()
    assert pi.made[0].is_closed


def test_times_are_the_sensors_on_the_monotonic_clock(pi, monkeypatch):
    # A device that slept for an hour: its clocks lie that far apart.
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: time.monotonic_ns() + 3600 * 10**9)
    with open_source("0", Options()) as source:
        begun = time.monotonic()
        frame = next(iter(source))
    assert abs(frame.time - begun) < 0.5


def test_a_camera_that_hangs_has_failed(pi, monkeypatch):
    monkeypatch.setattr(Picamera2, "hangs_after", 2)
    monkeypatch.setattr(plugin, "_TIMEOUT_S", 0.05)
    frames = []
    with pytest.raises(SourceError, match=r"delivered nothing for 0.05 s after 2 frames"):
        frames.extend(open_source("1", Options()))
    assert len(frames) == 2
    assert pi.made[0].is_closed


def test_says_which_cameras_there_are_and_what_size_it_got(pi, caplog):
    with pytest.raises(SourceError, match=r"picamera:0 \(imx708\), picamera:1 \(imx219\)"):
        open_source("2", Options())
    open_source("0", Options((2000, 100))).close()
    assert "asked for size 2000x100, got 1000x100" in caplog.text


def test_without_picamera2_it_says_where_that_comes_from():
    with pytest.raises(SourceError, match=r"apt install python3-picamera2.*--system-site-packages"):
        open_source("0", Options())


def test_where_there_is_no_other_camera_on_a_pi_this_one_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "picamera2" or None)
    with pytest.raises(SourceError, match=r"no camera /dev/video97.*is --camera picamera:0"):
        _v4l2.find("97")
