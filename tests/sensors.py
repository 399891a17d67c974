"""Sensors for tests: a pseudo terminal, a real broker, a simulated bus, a tree as in sysfs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import termios
import threading
import tty
from pathlib import Path
from time import monotonic, sleep

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


def wait_for(condition, seconds=10.0):
    until = monotonic() + seconds
    while not condition():
        assert monotonic() < until, "it never came"
        sleep(0.01)


def feed(lines, send, then=None, rate=100.0):
    """Send lines at a rate, from a thread of its own."""

    def run():
        sleep(0.1)
        start = monotonic()
        for number, line in enumerate(lines):
            sleep(max(0.0, start + number / rate - monotonic()))
            with contextlib.suppress(OSError):  # nobody reads any more
                send(line)
        if then is not None:
            sleep(0.2)
            then()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


class Port:
    """A serial port: what is written to it can be read at ``path``."""

    def __init__(self, link: Path | None = None):
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._is_open, self._threads = True, []
        if link is not None:
            link.unlink(missing_ok=True)
            link.symlink_to(self.path)

    def write(self, data: bytes):
        if self._is_open:
            os.write(self._master, data)

    def feed(self, lines, then=None, rate=100.0):
        self._threads.append(feed(lines, self.write, then, rate))

    def unplug(self):
        """As soon as what was written has been read, or nobody reads any more."""
        with contextlib.suppress(AssertionError):
            wait_for(lambda: not self._is_open or not self._unread(), 2)
        self._cut()

    def _cut(self):
        if self._is_open:
            self._is_open = False
            os.close(self._slave)
            os.close(self._master)

    def _unread(self):
        waiting = fcntl.ioctl(self._slave, termios.FIONREAD, bytes(4))
        return int.from_bytes(waiting, sys.byteorder)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for thread in self._threads:
            thread.join()
        self._cut()


class Broker:
    """A mosquitto of its own."""

    def __init__(self, folder: Path, port=0, settings=("allow_anonymous true",)):
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed")
        self.port = port or free_port()
        config = folder / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "user root", *settings]
        config.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._answers)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionRefusedError:
            return False
        return True

    @contextlib.contextmanager
    def sender(self, topic="wrist"):
        client = Client(CallbackAPIVersion.VERSION2)
        client.connect("127.0.0.1", self.port)
        client.loop_start()
        yield lambda payload: client.publish(topic, payload)
        client.disconnect()
        client.loop_stop()

    def kill(self):
        self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class SimulatedBus:
    """Registers of one chip; every other address does not answer."""

    def __init__(self, address, who, identity, *, readings=10**9, first=0x3B, layout=">7h"):
        self.address, self.registers = address, {who: identity}
        self.readings, self.first, self.layout = readings, first, layout
        self.values = [0] * 7
        self.is_closed = False

    def _check(self, address):
        if address != self.address or self.readings <= 0:
            raise OSError(121, "Remote I/O error")

    def read_byte_data(self, address, register):
        self._check(address)
        return self.registers.get(register, 0)

    def write_byte_data(self, address, register, value):
        self._check(address)
        self.registers[register] = value

    def read_i2c_block_data(self, address, register, length):
        self._check(address)
        self.readings -= 1
        assert (register, length) == (self.first, struct.calcsize(self.layout))
        return list(struct.pack(self.layout, *self.values))

    def close(self):
        self.is_closed = True


def accelerometer(sysfs: Path, number=0, name="lis3dh", **files) -> Path:
    """A folder as Linux makes it for an accelerometer with a thermometer."""
    folder = sysfs / f"iio:device{number}"
    texts = {
        "name": name,
        "sampling_frequency": "100",
        "in_accel_x_raw": "1024",
        "in_accel_y_raw": "-512",
        "in_accel_z_raw": "0",
        "in_accel_scale": "0.01",
        "in_temp_raw": "100",
        "in_temp_scale": "10",
        "in_temp_offset": "5",
        **files,
    }
    for key, text in texts.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="ascii")
    return folder
