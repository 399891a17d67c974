"""UDP datagrams, each with one or more lines.

``udp://:5005`` listens on all addresses, ``udp://192.168.1.2:5005`` on one of them;
``?columns=time_ms,ax,ay`` names the columns. The lines are described in
`edgenn.runtime.sources._lines`. Heeds ``channels`` and ``rate``. The first host that sends
is listened to; what others send is dropped and counted, unless it is silent for 10 s.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._lines import Lines
from edgenn.runtime.sources._settings import Settings
from edgenn.runtime.sources._text import POLL_S, TextSource

KIND: Kind = "window"
EXAMPLE = "--sensor udp://:5005"

_LARGEST = 65_536


class Udp(TextSource):
    """A bound socket.

    Attributes:
        port: Its number; the system's choice where 0 was asked for.
    """

    def __init__(self, name: str, options: Options) -> None:
        settings = Settings(name, "udp", {"columns": ""})
        host, port = _address(settings.rest)
        shown = f"udp://{host}:{port}"
        super().__init__(shown, options, Lines(shown, options, columns=settings.names("columns")))
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.settimeout(POLL_S)
        self._sender = ""
        try:
            self._socket.bind((host.strip("[]"), port))
        except OSError as error:
            self._socket.close()
            raise SourceError(f"cannot listen on {shown}: {error.strerror or error}") from error
        self.port: int = self._socket.getsockname()[1]

    def _take(self) -> bytes:
        try:
            data, sender = self._socket.recvfrom(_LARGEST)
        except TimeoutError:
            return b""
        self._sender = self._sender or sender[0]
        if sender[0] != self._sender:
            self._lines.dropped += 1
            return b""
        return data + b"\n"

    def _release(self) -> None:
        self._socket.close()


def open_source(name: str, options: Options) -> Udp:
    """Listen on a port.

    Raises:
        SourceError: It is no address, or the port is taken.
    """
    return Udp(name, options)


def _address(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit("//" + text.removeprefix("//"))
        port = parts.port
    except ValueError:
        port = None
    if port is None or parts.path.strip("/"):
        raise SourceError(f"there is no UDP port in {text!r}; write udp://:5005")
    host = parts.hostname or "0.0.0.0"  # noqa: S104  the user asked for all of them
    return (f"[{host}]" if ":" in host else host), port
