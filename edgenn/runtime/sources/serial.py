"""A serial port: a microcontroller on USB, a UART, Bluetooth's RFCOMM.

``serial:/dev/ttyUSB0?baud=115200&columns=time_ms,ax,ay,az``; both settings are optional.
What is sent is described in `edgenn.runtime.sources._lines`. Heeds ``channels`` and
``rate``. Paths in /dev/serial/by-id stay the same whatever is plugged in beside it.
"""

from __future__ import annotations

from pathlib import Path

import serial

from edgenn.errors import SourceError
from edgenn.runtime.devices import serial_ports
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._lines import Lines
from edgenn.runtime.sources._settings import Settings
from edgenn.runtime.sources._text import POLL_S, TextSource

KIND: Kind = "window"
EXAMPLE = "--sensor 'serial:/dev/ttyUSB0?baud=115200'"


class Serial(TextSource):
    """An open port, which no other program may open meanwhile."""

    def __init__(self, name: str, options: Options) -> None:
        settings = Settings(name, "serial", {"baud": "115200", "columns": ""})
        path = settings.rest.removeprefix("//")
        baud = int(settings.number("baud", 50, 4_000_000))
        shown = f"serial:{path}"
        columns = settings.names("columns")
        super().__init__(shown, options, Lines(shown, options, columns=columns, partial=True))
        if path.startswith("/") and not Path(path).exists():
            there = ", ".join(found for found, _ in serial_ports()) or "none"
            raise SourceError(f"there is no serial port {path}; there is {there}")
        try:
            self._port = serial.Serial(path, baud, timeout=POLL_S, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise SourceError(
                f"{shown} cannot be opened; is another program using it, or does this user lack "
                f"the right (group 'dialout')? {error}"
            ) from error

    def _take(self) -> bytes:
        try:
            return bytes(self._port.read(max(1, self._port.in_waiting)))
        except (serial.SerialException, TypeError) as error:
            raise SourceError(f"{self.name} was unplugged or broke: {error}") from error

    def _release(self) -> None:
        self._port.close()


def open_source(name: str, options: Options) -> Serial:
    """Open a port.

    Raises:
        SourceError: It is missing or in use, or a setting is wrong.
    """
    return Serial(name, options)
