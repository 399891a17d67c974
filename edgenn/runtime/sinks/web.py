"""A web page with the live picture, events, charts and metrics; see `edgenn.runtime.web`.

Routes: ``/`` the page, ``/live.json`` what it shows, ``/video.mjpg`` the picture,
``/card.md`` the model card, ``/metrics`` for Prometheus, ``/healthz`` (this process
answers) and ``/readyz`` (there was a result within the last 5 seconds).
"""

from __future__ import annotations

import re
import secrets
import threading

from edgenn.errors import SinkError, UsageError
from edgenn.runtime.health import Health
from edgenn.runtime.sinks import Sink
from edgenn.runtime.web.board import Board
from edgenn.runtime.web.pictures import MAX_FPS, Pictures
from edgenn.runtime.web.server import Server, is_loopback
from edgenn.types import Frame, Result

LOCAL = "127.0.0.1"
_TOKEN = re.compile(r"[A-Za-z0-9._~-]{12,256}")  # goes into a URL and a cookie as it is


class WebSink(Sink):
    """Serves the page from its making to `close`; see `open_sink` for the arguments.

    Attributes:
        url: Address of the page, without the token.
        token: What a request has to bring; None where none is wanted.
    """

    inline = True

    def __init__(
        self, host: str, port: int, board: Board, token: str | None, max_fps: float
    ) -> None:
        self._board = board
        self._pictures = Pictures(max_fps)
        self._closed = threading.Event()
        try:
            self._server = Server(host, port, board, self._pictures, token)
        except OSError as error:
            self._pictures.close()
            reason = error.strerror or str(error)
            raise SinkError(f"cannot serve the web page at {host}:{port}: {reason}") from error
        self.token = token
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{self._server.server_port}/"
        self._sampler = threading.Thread(target=self._sample, name="web-sampler", daemon=True)
        self._sampler.start()

    def attach(self, health: Health) -> None:
        """Show the counters of the run that writes to it."""
        self._board.health = health

    def write(self, result: Result) -> None:
        """Count one result; its frame is copied only if a picture is due for a watcher."""
        self._board.add(result)
        if isinstance(result.item, Frame):
            self._pictures.offer(result.item, result.prediction, result.marks)

    def close(self) -> None:
        """Close the page and all connections to it."""
        if self._closed.is_set():
            return
        self._closed.set()
        self._pictures.close()
        self._server.stop()
        self._sampler.join(5)

    def _sample(self) -> None:
        while not self._closed.wait(1):
            self._board.sample()


def open_sink(
    target: str,
    fps: float = 0.0,
    *,
    token: str | None = None,
    model: str = "",
    card: str = "",
    max_fps: float = MAX_FPS,
) -> WebSink:
    """Open the page at ``[HOST:]PORT``; the host is 127.0.0.1 if none is given.

    Args:
        target: The address; IPv6 in brackets; port 0 is any free one.
        fps: Not needed.
        token: What a request has to bring. Without one, an address that others can
            reach gets one made up, and 127.0.0.1 none.
        model: Name of the model.
        card: Its model card as text.
        max_fps: Most pictures a second.

    Raises:
        UsageError: The address or the token will not do.
        SinkError: The address is taken or not of this machine.
    """
    del fps
    host, port = _address(target)
    if token is not None and not _TOKEN.fullmatch(token):
        raise UsageError("a web token has 12 to 256 letters, digits or any of . _ ~ -")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    return WebSink(host, port, Board(model, card), token, max_fps)


def _address(text: str) -> tuple[str, int]:
    found = re.fullmatch(r"(?:(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):)?([0-9]{1,5})", text)
    if found is None or int(found[2]) > 65535:
        raise UsageError(f"{text!r} is not [HOST:]PORT, such as 8080 or 0.0.0.0:8080")
    return (found[1] or LOCAL).strip("[]"), int(found[2])
