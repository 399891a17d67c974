"""Why a stream could not be opened, by asking its server, as OpenCV does not say."""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import SplitResult, urlsplit

_PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_TIMEOUT_S = 3.0
_LONGEST = 512  # of the first line of an answer


def why_not(url: str) -> str:
    """What is wrong, as the rest of a sentence; empty where the server seems to be fine.

    The server is asked without user name and password.

    Args:
        url: As the user wrote it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # whose text may have a part of the password in it
        return "its host and port cannot be told; write @, / and : of a password as %40, %2F, %3A"
    if not host or port is None:
        return ""
    try:
        status = _status(parts, host, port)
    except OSError as error:
        return _fault(error, host, port)
    return _meaning(status, parts)


def _fault(error: OSError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror):
        return f"no device is known by the name {host}"
    if isinstance(error, ConnectionRefusedError):
        return f"{host} is there, but nothing answers at its port {port}"
    if isinstance(error, TimeoutError):
        return f"{host} does not answer at port {port}"
    return f"{host} cannot be reached at port {port}: {error.strerror or error}"


def _status(parts: SplitResult, host: str, port: int) -> int:
    """The number in the first line of the answer; 0 if it is no such answer."""
    path = parts.path or "/"
    path += f"?{parts.query}" if parts.query else ""
    shown = f"[{host}]" if ":" in host else host
    if parts.scheme.startswith("rtsp"):
        lines = [f"DESCRIBE {parts.scheme}://{shown}:{port}{path} RTSP/1.0", "CSeq: 1"]
        lines.append("Accept: application/sdp")
    else:
        lines = [f"GET {path} HTTP/1.0", f"Host: {shown}:{port}"]
    with socket.create_connection((host, port), _TIMEOUT_S) as connection:
        if parts.scheme in ("rtsps", "https"):
            # Only a status line is read, and nothing secret is said.
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            connection = context.wrap_socket(connection, server_hostname=host)  # noqa: PLW2901
        connection.sendall("\r\n".join([*lines, "", ""]).encode("utf-8", "replace"))
        answer = b""
        while b"\n" not in answer and len(answer) < _LONGEST:
            part = connection.recv(_LONGEST)
            if not part:
                break
            answer += part
        connection.close()
    found = re.match(rb"(?:RTSP|HTTP)/\d\.\d (\d{3})", answer)
    return int(found[1]) if found else 0


def _meaning(status: int, parts: SplitResult) -> str:
    if status in (401, 403):
        if parts.username or parts.password:
            return f"its user name or password is refused ({status})"
        return f"it wants a user name and password ({status}), as {parts.scheme}://user:password@…"
    if status == 404:
        return f"{parts.hostname} has no stream of that name (404)"
    if status == 0:
        return f"what answers at {parts.hostname} does not speak {parts.scheme.upper()}"
    return f"it answers {status}" if status >= 300 else ""
