from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from time import monotonic

import pytest

from edgenn.runtime.health import Health
from edgenn.runtime.systemd import Notifier


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """The socket on which systemd listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        yield listening


def heard(listening, seconds):
    lines, end = [], monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while (left := end - monotonic()) > 0:
            listening.settimeout(left)
            lines.append(listening.recv(4096).decode())
    return lines


def test_without_systemd_nothing_happens(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier()
    notifier.beat(Health())
    notifier.stopping()


def test_systemd_that_went_away_is_no_error(systemd):
    systemd.close()
    notifier = Notifier()
    notifier.beat(Health())
    notifier.stopping()
    notifier.stopping()


@pytest.mark.parametrize("source", ["test://?size=64x48&fps=20", "test://?fps=20&stall_at=3"])
def test_a_run_is_ready_alive_and_stops_also_while_its_camera_stalls(systemd, tiny, source):
    command = [sys.executable, "-m", "edgenn", "run", str(tiny / "tiny-detect.edgenn")]
    process = subprocess.Popen(
        [*command, "--source", source, "--out", "/dev/null"], stderr=subprocess.DEVNULL
    )
    assert systemd.recv(4096) == b"READY=1"
    lines = heard(systemd, 2.0)
    # Every 100 ms; a busy machine is forgiven half of them.
    assert lines.count("WATCHDOG=1") >= 8
    assert any(line.startswith("STATUS=") and "per second" in line for line in lines)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert heard(systemd, 0.5)[-1] == "STOPPING=1"


def test_a_run_that_is_frozen_says_nothing(systemd, tiny):
    command = [sys.executable, "-m", "edgenn", "run", str(tiny / "tiny-detect.edgenn")]
    process = subprocess.Popen(
        [*command, "--source", "test://?fps=20", "--out", "/dev/null"], stderr=subprocess.DEVNULL
    )
    assert systemd.recv(4096) == b"READY=1"
    process.send_signal(signal.SIGSTOP)
    heard(systemd, 0.5)
    assert heard(systemd, 1.0) == []
    process.send_signal(signal.SIGCONT)
    assert "WATCHDOG=1" in heard(systemd, 1.0)
    process.terminate()
    assert process.wait(10) == 0
