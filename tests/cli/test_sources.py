from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
from click.testing import CliRunner
from sensors import accelerometer

from edgenn import plugins
from edgenn.cli.run import command as run
from edgenn.cli.sources import command
from edgenn.runtime import sources
from edgenn.runtime.sources import choose, open_source

NAMES = plugins.names(sources)


def test_lists_the_cameras_and_every_kind_of_source(monkeypatch):
    from edgenn.runtime.sources import camera

    monkeypatch.setattr(camera, "cameras", lambda: [("/dev/video2", "Doorbell")])
    shown = CliRunner().invoke(command, catch_exceptions=False).output
    assert "--camera /dev/video2" in shown
    assert "Doorbell" in shown
    for name in NAMES:
        assert plugins.load(sources, name).EXAMPLE in shown


def test_says_so_where_there_is_no_camera(monkeypatch):
    from edgenn.runtime.sources import camera

    monkeypatch.setattr(camera, "cameras", list)
    assert "has no camera" in CliRunner().invoke(command, catch_exceptions=False).output


def test_lists_ports_buses_and_sensors(monkeypatch, tmp_path):
    from edgenn.runtime import devices

    by_id = tmp_path / "serial" / "by-id"
    by_id.mkdir(parents=True)
    for name in ("ttyUSB0", "ttyACM1", "i2c-1", "i2c-10"):
        (tmp_path / name).touch()
    (by_id / "usb-Arduino").symlink_to(tmp_path / "ttyUSB0")
    accelerometer(tmp_path / "iio", 3)
    ports, buses, sensors = devices.serial_ports, devices.i2c_buses, devices.iio_devices
    monkeypatch.setattr(devices, "serial_ports", lambda: ports(tmp_path))
    monkeypatch.setattr(devices, "i2c_buses", lambda: buses(tmp_path, tmp_path))
    monkeypatch.setattr(devices, "iio_devices", lambda: sensors(tmp_path / "iio"))
    shown = CliRunner().invoke(command, catch_exceptions=False).output
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    assert f"--sensor serial:{by_id}/usb-Arduino ttyUSB0" in lines
    assert f"--sensor serial:{tmp_path}/ttyACM1" in lines
    assert f"--sensor serial:{tmp_path}/ttyUSB0" not in lines
    assert "--sensor i2c://1/CHIP" in lines
    assert "--sensor iio:device3 lis3dh" in lines


def test_a_missing_extra_is_said_in_the_list(monkeypatch):
    for package, plugin in (("serial", "serial"), ("smbus2", "i2c"), ("paho.mqtt.client", "mqtt")):
        monkeypatch.delitem(sys.modules, f"edgenn.runtime.sources.{plugin}", raising=False)
        monkeypatch.setitem(sys.modules, package, None)
    done = CliRunner().invoke(command, catch_exceptions=False)
    assert done.exit_code == 0
    for extra in ("serial", "i2c", "mqtt"):
        assert f"pip install 'edgenn[{extra}]'" in done.output
    assert "--sensor udp://:5005" in done.output


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_what_run_takes_and_mean_this_source(name):
    options = {option for param in run.params for option in param.opts}
    for example in plugins.load(sources, name).EXAMPLE.split(", "):
        option, text = shlex.split(example)
        assert option in options
        kind = "window" if option == "--sensor" else None
        if option == "--camera":
            text = f"camera:{text}"
        # A folder is one only where it exists.
        if name not in ("images", "recording"):
            assert choose(text, NAMES, kind)[0] == name


def test_the_example_of_the_test_pattern_works():
    text = shlex.split(plugins.load(sources, "test").EXAMPLE)[1]
    with open_source(text) as source:
        assert next(iter(source)).image.shape == (240, 320, 3)


def test_a_full_disk_gets_one_sentence():
    with open("/dev/full", "w") as full:  # noqa: PTH123  a device, handed on as it is
        done = subprocess.run(
            [sys.executable, "-m", "edgenn", "sources"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 8
    assert done.stderr == "edgenn: cannot write the output: disk full\n"
