"""Trees as Linux makes them in /sys and /dev, with a FIFO as the kernel's buffer."""

from __future__ import annotations

import os
import struct
import threading
from time import monotonic

import numpy as np
import pytest
from sensors import accelerometer

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources._scan import parse, record
from edgenn.runtime.sources.iio import open_source

G = 9.80665
BUFFER = {
    "buffer/enable": "0",
    "buffer/length": "2",
    "current_timestamp_clock": "realtime",
    **{f"scan_elements/in_accel_{axis}_en": "0" for axis in "xyz"},
    **{f"scan_elements/in_accel_{axis}_index": str(i) for i, axis in enumerate("xyz")},
    **{f"scan_elements/in_accel_{axis}_type": "le:s12/16>>4" for axis in "xyz"},
    "scan_elements/in_timestamp_en": "0",
    "scan_elements/in_timestamp_index": "3",
    "scan_elements/in_timestamp_type": "le:s64/64>>0",
}


def open_in(tmp_path, name, options=None):
    return open_source(name, options or Options(), tmp_path / "sys", tmp_path / "dev")


@pytest.mark.parametrize("name", ["device1", "lis3dh", "/dev/iio:device1"])
def test_raw_values_are_scaled_and_shifted(tmp_path, name):
    accelerometer(tmp_path / "sys", 0, "other")
    accelerometer(tmp_path / "sys", 1)
    with open_in(tmp_path, name) as source:
        samples = next(iter(source))
    assert samples.channels == ("accel_x", "accel_y", "accel_z", "temp")
    assert np.allclose(samples.values, [[10.24 / G, -5.12 / G, 0, 1050]])
    assert (source.fps, source.name) == (100, "iio:device1")


def test_channels_by_their_short_names_and_other_units(tmp_path):
    accelerometer(tmp_path / "sys", in_anglvel_z_raw="2", in_anglvel_scale="0.5")
    options = Options(channels=("wz", "ay"))
    with open_in(tmp_path, "device0?accel=m/s2&gyro=deg/s&rate=200", options) as source:
        samples = next(iter(source))
    assert samples.channels == ("wz", "ay")
    assert np.allclose(samples.values, [[np.degrees(1.0), -5.12]])


def test_what_is_not_there(tmp_path):
    accelerometer(tmp_path / "sys")
    with pytest.raises(SourceError, match=r"there is no IIO device bmi160; there is device0 \(lis"):
        open_in(tmp_path, "bmi160")
    with pytest.raises(
        SourceError, match="no channel 'wx'; there is accel_x, accel_y, accel_z, te"
    ):
        open_in(tmp_path, "device0", Options(channels=("ax", "wx")))


@pytest.fixture
def buffer(tmp_path):
    """A device with a buffer, and a function that writes readings into it."""
    folder = accelerometer(tmp_path / "sys", **BUFFER)
    (tmp_path / "dev").mkdir()
    node = tmp_path / "dev" / "iio:device0"
    os.mkfifo(node)
    end = os.open(node, os.O_RDWR)
    return folder, lambda data: os.write(end, data), lambda: os.close(end)


def test_the_buffer_is_switched_on_read_in_pieces_and_switched_off(tmp_path, buffer):
    folder, write, close = buffer
    options = Options(channels=("az", "ax"))
    with open_in(tmp_path, "device0?buffer=64", options) as source:
        assert (folder / "buffer/enable").read_text().strip() == "1"
        assert (folder / "buffer/length").read_text().strip() == "64"
        assert (folder / "scan_elements/in_accel_y_en").read_text().strip() == "0"
        # x and z in 12 bits, shifted by 4, then 4 bytes to the next multiple of 8.
        rows = [(100 + i, -2000 + i, 10**18 + i * 10**7) for i in range(100)]
        data = b"".join(struct.pack("<hhxxxxq", x << 4, z << 4, t) for x, z, t in rows)
        write(data[:1003])
        found, items = [], iter(source)
        found.append(next(items))
        write(data[1003:])
        while sum(len(s.times) for s in found) < 100:
            found.append(next(items))
    close()
    values = np.concatenate([s.values for s in found])
    times = np.concatenate([s.times for s in found])
    assert np.allclose(values[:, 1], (100 + np.arange(100)) * 0.01 / G)
    assert np.allclose(values[:, 0], (-2000 + np.arange(100)) * 0.01 / G)
    assert np.allclose(np.diff(times), 0.01, atol=6e-5)
    assert abs(monotonic() - times[-1]) < 1
    assert [s.index for s in found] == [0, len(found[0].times)][: len(found)]
    assert (folder / "buffer/enable").read_text().strip() == "0"


def test_a_buffer_that_ends_is_a_failure_and_closing_ends_it_soon(tmp_path, buffer):
    _, write, close = buffer
    source = open_in(tmp_path, "device0?buffer=64")
    threading.Timer(0.1, source.close).start()
    begun = monotonic()
    assert list(source) == []
    assert monotonic() - begun < 1
    source = open_in(tmp_path, "device0?buffer=64", Options(channels=("ax",)))
    write(b"\0" * 16)
    items = iter(source)
    next(items)
    close()
    with pytest.raises(SourceError, match="its buffer has ended"):
        next(items)


def test_a_channel_that_the_buffer_does_not_hold(tmp_path, buffer):
    buffer[2]()
    with pytest.raises(SourceError, match="no channel 'temp'; there is accel_x, accel_y, accel_z"):
        open_in(tmp_path, "device0?buffer=64", Options(channels=("temp",)))


@pytest.mark.parametrize(
    ("form", "stored", "value"),
    [
        ("le:s16/16>>0", b"\xfe\xff", -2),
        ("be:s16/16>>0", b"\xff\xfe", -2),
        ("le:u12/16>>4", b"\xff\xff", 4095),
        ("le:s12/16>>4", b"\x0f\x80", -2048),
        ("be:u8/8>>0", b"\x80", 128),
        ("be:s24/32>>8", b"\xff\xff\xfe\x77", -2),
        ("le:s64/64>>0", struct.pack("<q", -(2**62)), -(2**62)),
        ("le:s16/16X1>>0", b"\x01\x00", 1),
    ],
)
def test_forms_of_values(form, stored, value):
    element = parse(form, "x")
    assert element.decode(np.frombuffer(stored, element.dtype)).tolist() == [value]


@pytest.mark.parametrize("form", ["", "le:s16/16", "le:s16/16X4>>0", "me:s8/8>>0", "le:s16/16>>4"])
def test_forms_that_are_not_known(form):
    with pytest.raises(SourceError, match="device x has a form that"):
        parse(form, "device x")


def test_a_value_lies_at_a_multiple_of_its_size():
    forms = {"a": "le:u8/8>>0", "b": "le:s16/16>>0", "t": "le:s64/64>>0", "c": "le:u8/8>>0"}
    layout = record({name: parse(form, name) for name, form in forms.items()})
    assert [layout.fields[name][1] for name in forms] == [0, 2, 8, 16]
    assert layout.itemsize == 24
