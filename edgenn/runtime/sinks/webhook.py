"""Webhook: a POST with JSON when something happens.

That is an event, or a kind of thing that a detector begins or ceases to see.
The body has the form of a line of `edgenn.runtime.sinks.jsonl`, and for
detectors two more fields: "began" and "ended", lists of labels. A label ended
when it was not seen for a second, so that a flicker is no message.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import unquote, urlsplit, urlunsplit

from edgenn.errors import SinkError, UsageError
from edgenn.runtime._connections import why
from edgenn.runtime.sinks import Sink
from edgenn.runtime.sinks._queued import Message, Queued
from edgenn.runtime.sinks.jsonl import to_dict
from edgenn.types import Detections, Frame, Result

_TIMEOUT_S = 5.0
_TRIES = 6
_FIRST_PAUSE_S = 0.5  # doubled from try to try: 15 s in all
_GONE_S = 1.0
_TRY_AGAIN = (408, 425, 429)


class WebhookSink(Sink):
    """Never waits for the server.

    Args:
        url: Where to; ``http://user:password@host/path`` is basic authentication.
        drain_s: Seconds that `close` gives to what still waits.

    Attributes:
        queue: The way to the server.
        counts: Its counters.

    Raises:
        UsageError: It is no such address.
    """

    inline = True

    def __init__(self, url: str, *, drain_s: float = 5.0) -> None:
        self._url, self._headers, name = _parse(url)
        self._opener = urllib.request.build_opener(_NoRedirect)
        self._seen: dict[str, float] = {}
        self.queue: Queued[Message] = Queued(name, self._post, limit=256, drain_s=drain_s)
        self.counts = self.queue.counts

    def write(self, result: Result) -> None:
        """Hand over one result, if something happens in it."""
        began, ended = self._changes(result)
        if not (began or ended or result.events):
            return
        body = to_dict(result)
        if isinstance(result.prediction, Detections):
            body.update(began=began, ended=ended)
        text = json.dumps(body, ensure_ascii=False)
        self.queue.put(Message(text.encode(), result.captured))

    def close(self) -> None:
        """Deliver what waits, for a bounded time."""
        self.queue.close()

    def _changes(self, result: Result) -> tuple[list[str], list[str]]:
        """Labels that are new, and labels that were not seen for a second."""
        if not isinstance(result.prediction, Detections):
            return [], []
        assert isinstance(result.item, Frame)
        now = result.item.time
        there = {result.prediction.name(i) for i in range(len(result.prediction))}
        began = sorted(there - set(self._seen))
        self._seen.update(dict.fromkeys(there, now))
        # A film that starts again goes back in time.
        ended = sorted(k for k, at in self._seen.items() if not at <= now < at + _GONE_S)
        for label in ended:
            del self._seen[label]
        return began, ended

    def _post(self, message: Message) -> None:
        pause = _FIRST_PAUSE_S
        for left in reversed(range(_TRIES)):
            try:
                self._post_once(message.body)
            except urllib.error.HTTPError as error:
                error.close()
                said = f"the server answers {error.code} {error.reason}"
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    raise SinkError(said) from error
            except (OSError, HTTPException) as error:
                said = why(error)
            else:
                return
            if not left or not self.queue.pause(pause):
                break
            pause *= 2
        raise SinkError(said)

    def _post_once(self, body: bytes) -> None:
        # The scheme was checked to be http or https.
        request = urllib.request.Request(self._url, body, self._headers, method="POST")  # noqa: S310
        seconds = max(0.1, min(_TIMEOUT_S, self.queue.remaining()))
        with self._opener.open(request, timeout=seconds) as answer:
            answer.read(1 << 16)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent elsewhere would arrive as a GET without its body."""

    def redirect_request(  # noqa: PLR0917  the signature is urllib's
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        url: str,
    ) -> None:
        """No other request: the answer stays an error."""


def open_sink(target: str, fps: float = 0.0) -> WebhookSink:
    """Start delivering to a URL, whose server need not be there yet.

    Raises:
        UsageError: ``target`` is no address of http or https.
    """
    del fps
    return WebhookSink(target)


def _parse(url: str) -> tuple[str, dict[str, str], str]:
    """URL without credentials, headers, and what may be shown: paths may be secrets."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        (parts.hostname or "").encode("idna")
    except ValueError:
        parts, port = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError("--webhook wants an address such as https://host/path")
    headers = {"Content-Type": "application/json", "User-Agent": "edgenn"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    clean = urlunsplit((parts.scheme, host + port, parts.path or "/", parts.query, ""))
    return clean, headers, f"webhook {parts.scheme}://{host}{port}"
