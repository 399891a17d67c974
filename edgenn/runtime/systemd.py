"""Tells systemd how a run is: ready, its status in a line, and that it is alive.

The protocol is that of sd_notify(3): datagrams to the socket in ``NOTIFY_SOCKET``. With
``Type=notify`` and ``WatchdogSec`` in the unit, systemd restarts a run that hangs. Does
nothing where the variable is not set.
"""

from __future__ import annotations

import os
import socket
from time import monotonic

from edgenn.runtime.health import Health

_STATUS_S = 5.0


class Notifier:
    """Speaks for one run; made and used by one thread."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._socket: socket.socket | None = None
        if self._address.startswith(("/", "@")):
            # @ stands for the zero byte of the abstract namespace.
            self._address = self._address.replace("@", "\0", 1)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        usec = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # Systemd advises half the time; a third forgives one that was lost.
        self._every = int(usec) / 3e6 if usec.isdecimal() and mine else 0.0
        self._ready = False
        self._alive_at = self._told_at = -float("inf")

    def beat(self, health: Health) -> None:
        """The loop is alive; says so at the right times. Ready is a run with its first result,
        or one whose camera is away and opened again and again.
        """
        if self._socket is None:
            return
        now = monotonic()
        if not self._ready:
            self._ready = True
            self._send("READY=1")
        if self._every and now - self._alive_at >= self._every:
            self._alive_at = now
            self._send("WATCHDOG=1")
        if now - self._told_at >= _STATUS_S:
            self._told_at = now
            self._send(f"STATUS={status(health)}")

    def stopping(self) -> None:
        """The run ends; may be called again."""
        if self._socket is not None:
            self._send("STOPPING=1")
            self._socket.close()
            self._socket = None

    def _send(self, text: str) -> None:
        assert self._socket is not None
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:  # systemd is being restarted: the next one arrives
            return


def status(health: Health) -> str:
    """A run in one line."""
    summary = health.summary()
    total = summary.latency_ms.get("total", (0.0, 0.0, 0.0))
    return (
        f"{summary.frames} done, {summary.fps:.1f} per second, {summary.dropped} dropped, "
        f"p95 {total[1]:.0f} ms, source came back {summary.reconnects} times"
    )
