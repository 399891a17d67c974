"""Requests that end: bounded in time at every step, and never anything but http and https."""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

from edgenn.errors import SourceError, UsageError

_TICK_S = 0.1
_LEAST = 16 << 10


class Leash:
    """Cuts a connection over which too little comes, or that is no longer wanted.

    A timeout of a socket is for one read alone: a server that sends a byte now and then would
    hold on for ever.

    Args:
        stall_s: Seconds within which the answer has to begin, and then 16 kB have to come each
            time.
        stopped: Cuts it at once.

    Attributes:
        stalled: Whether it was cut as too little came.
    """

    def __init__(self, stall_s: float, stopped: threading.Event) -> None:
        self.stalled = False
        self._stall_s, self._stopped = stall_s, stopped
        self._sockets: list[socket.socket] = []
        self._cut = False
        self._received = 0
        self._until = monotonic() + stall_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="update-leash", daemon=True)

    def __enter__(self) -> Leash:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def hold(self, connection: socket.socket) -> None:
        """A connection that is cut when it has to be."""
        self._sockets.append(connection)
        if self._cut:
            _shut(connection)

    def received(self, count: int) -> None:
        """So many bytes came."""
        self._received += count
        if self._received >= _LEAST:
            self._received = 0
            self._until = monotonic() + self._stall_s

    def _watch(self) -> None:
        while not self._over.wait(_TICK_S):
            self.stalled = monotonic() > self._until
            if self.stalled or self._stopped.is_set():
                self._cut = True
                for connection in list(self._sockets):
                    _shut(connection)
                return


@contextlib.contextmanager
def request(
    url: str, headers: dict[str, str], leash: Leash, timeout_s: float
) -> Iterator[http.client.HTTPResponse]:
    """Open a URL.

    Args:
        url: http or https; redirects lead to nothing else, nor from https to http.
        headers: Of the request.
        leash: Holds the connection.
        timeout_s: Seconds for the connection, and for each read.

    Raises:
        SourceError: A redirect leads elsewhere.
        OSError: The server cannot be reached, or answers with an error.
        HTTPException: It speaks something else.
    """
    refuse_other(url)
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        _Http(leash),
        _Https(leash),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    # The scheme was checked to be http or https.
    asked = urllib.request.Request(url, headers={"User-Agent": "edgenn", **headers})  # noqa: S310
    with opener.open(asked, timeout=timeout_s) as answer:
        yield answer


def refuse_other(url: str, came_from: str = "") -> None:
    """Make sure that an address is one of http or https, and not less safe than before.

    Raises:
        SourceError: It is not.
    """
    scheme = _scheme(url)
    if not scheme or (came_from.startswith("https:") and scheme != "https"):
        what = f"{came_from} leads to" if came_from else "there is nothing to be had from"
        raise SourceError(f"{what} {url[:200]!r}, which is not allowed; only http and https are")


def check_url(url: str, flag: str) -> None:
    """Make sure that a user's address is one.

    Raises:
        UsageError: It is not.
    """
    if not _scheme(url):
        raise UsageError(f"{flag} wants an address such as https://host/models/index.json")


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return ""
    good = parts.scheme in ("http", "https") and parts.hostname and parts.username is None
    return parts.scheme if good else ""


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = 5

    def http_error_302(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
    ) -> Any:  # noqa: ANN401  urllib's own
        """Follow, unless it leads to a file or the like."""
        target = headers.get("location") or headers.get("uri") or ""
        try:
            refuse_other(urljoin(req.full_url, target), req.full_url)
        except SourceError:
            fp.close()
            raise
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class _Http(urllib.request.HTTPHandler):
    def __init__(self, leash: Leash) -> None:
        super().__init__()
        self._leash = leash

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_Connection, leash=self._leash), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, leash: Leash) -> None:
        super().__init__()
        self._leash = leash

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        made = functools.partial(
            _TlsConnection, leash=self._leash, context=ssl.create_default_context()
        )
        return self.do_open(made, req)


class _Connection(http.client.HTTPConnection):
    def __init__(self, host: str, *, leash: Leash, **more: Any) -> None:  # noqa: ANN401
        super().__init__(host, **more)
        self._leash = leash

    def connect(self) -> None:
        super().connect()
        self._leash.hold(self.sock)


class _TlsConnection(http.client.HTTPSConnection):
    def __init__(self, host: str, *, leash: Leash, **more: Any) -> None:  # noqa: ANN401
        super().__init__(host, **more)
        self._leash = leash

    def connect(self) -> None:
        super().connect()
        self._leash.hold(self.sock)


def _shut(connection: socket.socket) -> None:
    # Not that of an SSLSocket, which would take away the state that a reading thread uses.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
