"""Chips are simulated by their registers, as the data sheets describe them."""

from __future__ import annotations

import itertools
import math
import sys
import threading
from time import monotonic, sleep

import numpy as np
import pytest
from sensors import SimulatedBus

from edgenn import plugins
from edgenn.errors import MissingExtraError, SourceError
from edgenn.runtime import sources
from edgenn.runtime.sources import Options, i2c, open_source

WATCH = Options(channels=("ax", "ay", "az", "wx", "wy", "wz"), rate=50)


@pytest.fixture
def plug(monkeypatch):
    """Put a chip on the bus."""

    def plug(*args, **how):
        bus = SimulatedBus(*args, **how)
        monkeypatch.setattr(i2c, "SMBus", lambda number: bus)
        return bus

    return plug


@pytest.fixture
def mpu(plug):
    bus = plug(0x68, 0x75, 0x68)
    # 1 g down, half a g aside, 36.53 + 10 degrees Celsius, 100 deg/s about z.
    bus.values = [0, 2048, 4096, 3400, 0, 0, 3280]
    return bus


def first(name, options=WATCH):
    with open_source(name, options) as source:
        return next(iter(source)).values[0], source


def test_an_mpu6050_is_woken_and_scaled(mpu):
    values, source = first("i2c://1/mpu6050")
    assert np.allclose(values, [0, 0.5, 1, 0, 0, math.radians(100)])
    assert mpu.registers == {0x75: 0x68, 0x6B: 1, 0x19: 19, 0x1A: 4, 0x1B: 2 << 3, 0x1C: 2 << 3}
    assert source.fps == 50
    assert mpu.is_closed


def test_units_and_ranges_can_be_chosen(mpu):
    values, _ = first("i2c://1/mpu6050?accel=m/s2&gyro=deg/s&accel_range=16&gyro_range=2000")
    assert np.allclose(values, [0, 9.80665, 2 * 9.80665, 0, 0, 200])
    assert (mpu.registers[0x1B], mpu.registers[0x1C]) == (3 << 3, 3 << 3)


def test_other_names_of_the_same_channels_and_the_temperature(mpu):
    values, _ = first("i2c://1/mpu6050", Options(channels=("temp", "gz", "accel_y")))
    assert np.allclose(values, [46.53, math.radians(100), 0.5])


@pytest.mark.parametrize(("kind", "identity"), [("lsm6ds3", 0x69), ("lsm6dsox", 0x6C)])
def test_a_chip_of_st(plug, kind, identity):
    bus = plug(0x6B, 0x0F, identity, first=0x20, layout="<7h")
    bus.values = [0, 0, 0, 1000, -4098, 0, 0]
    values, _ = first(f"i2c://1/{kind}?address=0x6b")
    assert np.allclose(values, [-1, 0, 0, 0, 0, math.radians(35)], atol=1e-3)
    # 52 Hz, 8 g and 1000 deg/s.
    assert bus.registers == {0x0F: identity, 0x12: 0x44, 0x10: 0x3C, 0x11: 0x38}


def test_a_steady_schedule_in_which_missed_readings_are_counted(mpu):
    with open_source("i2c://1/mpu6050?rate=100", WATCH) as source:
        items = iter(source)
        times = [next(items).times[0] for _ in range(50)]
        sleep(0.1)
        dropped = source.dropped
        times.append(next(items).times[0])
        assert 5 <= source.dropped - dropped <= 40
    # On the grid, also after many.
    late = (np.array(times) - times[0]) * 100
    assert np.median(np.abs(late - late.round())) < 0.2


def test_single_failures_are_counted_and_ten_in_a_row_are_the_end(mpu):
    source = open_source("i2c://1/mpu6050?rate=100", WATCH)
    real, calls = mpu.read_i2c_block_data, itertools.count()

    def flaky(*args):
        number = next(calls)
        if number % 5 == 4 or number > 50:
            raise OSError(121, "Remote I/O error")
        return real(*args)

    mpu.read_i2c_block_data = flaky
    seen = []
    with pytest.raises(SourceError, match="does not answer any more: Remote I/O error"):
        seen.extend(source)
    assert len(seen) == 41
    assert source.dropped >= 20


def test_the_wrong_chip_is_named(plug):
    bus = plug(0x68, 0x75, 0x6C)
    with pytest.raises(SourceError, match=r"0x6c \(LSM6DSOX\), not 0x68 \(MPU-6050\)"):
        open_source("i2c://1/mpu6050", WATCH)
    assert bus.is_closed


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("//1/mpu6050?address=0x69", "nothing answers at address 0x69 of I2C bus 1: Remote"),
        ("//1/mpu6051", "no I2C chip is called 'mpu6051'; did you mean 'mpu6050'"),
        ("//one/mpu6050", "write i2c://BUS/CHIP"),
        ("//1/mpu6050?accel=lb", "accel=lb of i2c is not one of g, m/s2"),
        ("//1/mpu6050?gyro_range=300", "is not one of 250, 500, 1000, 2000"),
        ("//1/mpu6050?rate=nan", "rate=nan of i2c is not a number from 0.1 to 2000"),
    ],
)
def test_what_cannot_be(mpu, name, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"i2c:{name}", WATCH)


def test_a_channel_that_is_not_there(mpu):
    with pytest.raises(SourceError, match="no channel 'mx'; there is ax, ay, az, temp, wx, wy, wz"):
        open_source("i2c://1/mpu6050", Options(channels=("ax", "mx")))


def test_a_bus_that_is_not_there():
    with pytest.raises(SourceError, match="there is no I2C bus 77; there is"):
        open_source("i2c://77/mpu6050", WATCH)


def test_closing_from_another_thread_ends_a_slow_one_soon(mpu):
    source = open_source("i2c://1/mpu6050?rate=0.1", WATCH)
    threading.Timer(0.2, source.close).start()
    begun = monotonic()
    assert len(list(source)) == 1
    assert monotonic() - begun < 1


def test_a_missing_smbus2_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "edgenn.runtime.sources.i2c")
    monkeypatch.setitem(sys.modules, "smbus2", None)
    with pytest.raises(MissingExtraError, match=r"'smbus2': pip install 'edgenn\[i2c\]'"):
        plugins.load(sources, "i2c")
