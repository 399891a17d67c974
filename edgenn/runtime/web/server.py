"""The HTTP server of the page: fixed routes, GET only, bounded clients.

It is the standard library's, with a thread per connection, and not a package
such as waitress: the page has a handful of routes and at most `MAX_CLIENTS`
connections, a stream of pictures occupies a thread in either, and a thread pool
would buffer what a slow watcher does not take, where this one writes straight
to the socket and drops him after `TIMEOUT`. What the standard library leaves
open is closed here: the number of connections, the time to send a request, the
methods, the headers, and what is logged. There is no TLS: leave it on
127.0.0.1, or put a reverse proxy or a tunnel before it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import secrets
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from time import monotonic
from urllib.parse import parse_qs

from edgenn.runtime.web import metrics
from edgenn.runtime.web.board import Board
from edgenn.runtime.web.pictures import Pictures, TooManyWatchersError

MAX_CLIENTS = 16
TIMEOUT = 10.0  # seconds: for a request to arrive whole, and for each part of an answer
_POLL = 0.1  # seconds that `Server.stop` may take
_KEEP = 30 * 24 * 3600  # seconds that a browser remembers the token
_log = logging.getLogger(__name__)
_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    # No other site may show the camera in an <img> of its own.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TEXT = "text/plain; charset=utf-8"
_BOUNDARY = "edgenn-picture"
# A few pictures: more would be delay for a slow watcher.
_SEND_BUFFER = 1 << 17


class Server(socketserver.ThreadingMixIn, HTTPServer):
    """Listens from its making to `stop`.

    Args:
        host: Address to bind to.
        port: Port, 0 for any free one.
        board: What is said.
        pictures: What is shown.
        token: Wanted of every request but ``/healthz`` and ``/readyz``; None for no token,
            and then requests have to name this machine.

    Raises:
        OSError: The address cannot be bound.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = MAX_CLIENTS

    def __init__(
        self, host: str, port: int, board: Board, pictures: Pictures, token: str | None
    ) -> None:
        self.board = board
        self.pictures = pictures
        self.token = token
        self.files = {
            path: ((_PAGE / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
        }
        self._lock = threading.Lock()
        self._open: dict[socket.socket, float] = {}
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), Handler)
        # A stranger's page may give its own name this address (DNS rebinding) and so read what
        # needs no token. It has no token, and the browser sends it no cookie of another name.
        self.names = {"localhost", "127.0.0.1", "[::1]", host} if token is None else None
        self._thread = threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="web-server", daemon=True
        )
        self._thread.start()

    def server_bind(self) -> None:
        """Bind, without the look-up of the own name that takes seconds on some networks."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: object, client_address: object) -> None:
        """Start a thread for a connection, or turn it away at the door."""
        assert isinstance(request, socket.socket)
        with self._lock:
            is_full = len(self._open) >= MAX_CLIENTS
            if not is_full:
                self._open[request] = monotonic() + TIMEOUT
        if is_full:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(
                    b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 5\r\n"
                    b"Content-Length: 0\r\n\r\n"
                )
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def shutdown_request(self, request: object) -> None:
        """Close a connection, whose place is free again."""
        assert isinstance(request, socket.socket)
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def has_asked(self, request: socket.socket) -> None:
        """The request of a connection is complete: it may now take its time."""
        with self._lock:
            if request in self._open:
                self._open[request] = float("inf")

    def service_actions(self) -> None:
        """Cut off those who send their request byte by byte; called after each `_POLL`."""
        now = monotonic()
        with self._lock:
            late = [request for request, until in self._open.items() if until < now]
        for request in late:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Note that a client went away or broke something; nothing else happens."""
        del request
        _log.debug("web client %s", client_address, exc_info=True)

    def stop(self) -> None:
        """End, with all connections."""
        self.shutdown()
        self.server_close()
        with self._lock:
            rest = list(self._open)
        for request in rest:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


class Handler(BaseHTTPRequestHandler):
    """Answers one request and closes the connection."""

    server: Server
    timeout = TIMEOUT
    server_version = "edgenn"
    sys_version = ""
    default_request_version = "HTTP/1.0"  # of a broken request: the answer has headers

    def do_GET(self) -> None:
        """Answer, if the request may be answered."""
        self.server.has_asked(self.connection)
        path, _, query = self.path.partition("?")
        if not self._is_own_name():
            self._text(421, "This name is not that of the page.")
        elif path == "/healthz":
            self._text(200, "ok")
        elif path == "/readyz":
            ready = self.server.board.is_ready()
            self._text(200 if ready else 503, "ok" if ready else "no result of late")
        elif path == "/" and query and self._is_token(parse_qs(query).get("token", [""])[0]):
            self._keep_token()
        elif not self._is_allowed():
            self._text(
                401,
                "This page wants its token: open the address that edgenn printed, /?token=...",
                {"WWW-Authenticate": "Bearer"},
            )
        else:
            self._route(path)

    def _route(self, path: str) -> None:
        board = self.server.board
        if path in self.server.files:
            self._answer(200, *self.server.files[path])
        elif path == "/live.json":
            self._answer(200, json.dumps(board.live()).encode(), "application/json")
        elif path == "/card.md":
            self._text(200, board.card or "This model has no card.")
        elif path == "/metrics":
            self._answer(200, metrics.render(board).encode(), metrics.CONTENT_TYPE)
        elif path == "/video.mjpg":
            self._stream()
        else:
            self._text(404, "There is nothing here.")

    def _refuse(self) -> None:
        self.server.has_asked(self.connection)
        self._text(405, "Only GET.", {"Allow": "GET"})

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _refuse  # noqa: N815

    def _is_own_name(self) -> bool:
        """Whether the browser meant this address, and was not led here by another's DNS."""
        if self.server.names is None:
            return True
        name = self.headers.get("Host", "").lower()
        name = name if name.endswith("]") else name.rpartition(":")[0] or name
        return name in self.server.names

    def _is_token(self, given: str) -> bool:
        wanted = self.server.token
        return wanted is not None and secrets.compare_digest(given.encode(), wanted.encode())

    def _is_allowed(self) -> bool:
        if self.server.token is None:
            return True
        kind, _, bearer = self.headers.get("Authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        cookies = (part.partition("=") for part in self.headers.get("Cookie", "").split(";"))
        return any(name.strip() == self._cookie and self._is_token(v) for name, _, v in cookies)

    @property
    def _cookie(self) -> str:
        return f"edgenn_{self.server.server_port}"  # cookies do not know ports

    def _keep_token(self) -> None:
        """The token goes from the address, which is seen and stored, into a cookie."""
        cookie = (
            f"{self._cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={_KEEP}"
        )
        self._answer(303, b"", _TEXT, {"Location": "/", "Set-Cookie": cookie})

    def _stream(self) -> None:
        pictures = self.server.pictures
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        try:
            with pictures.watch():
                self._head(200, f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
                number = -1
                while not pictures.closed:
                    # Sending the old one again shows whether anybody is still there.
                    number, jpeg = pictures.next(number, TIMEOUT / 2)
                    if jpeg is not None:
                        self.wfile.write(_part(jpeg))
        except TooManyWatchersError:
            self._text(503, "Too many watch already.", {"Retry-After": "5"})

    def _text(self, code: int, text: str, more: dict[str, str] | None = None) -> None:
        self._answer(code, f"{text}\n".encode(), _TEXT, more)

    def _answer(
        self, code: int, body: bytes, kind: str, more: dict[str, str] | None = None
    ) -> None:
        self._head(code, kind, {"Content-Length": str(len(body)), **(more or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, code: int, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, **_HEADERS, **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer what the standard library finds wrong, without repeating the request."""
        del message, explain
        self._text(code, "This request cannot be answered.")

    def log_message(self, format: str, *args: object) -> None:
        """Requests are logged with ``-v`` only, without tokens."""
        if _log.isEnabledFor(logging.DEBUG):
            line = format % args
            _log.debug("%s %s", self.client_address[0], line.partition("?")[0])


def is_loopback(host: str) -> bool:
    """Whether an address is seen by this machine only; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _part(jpeg: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
