from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from time import monotonic, sleep

import numpy as np
import pytest

from edgenn.errors import UsageError
from edgenn.runtime.sinks import webhook
from edgenn.runtime.sinks.webhook import WebhookSink
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

IMAGE = np.zeros((4, 4, 3), np.uint8)
LABELS = ("person", "dog")


class Server(HTTPServer):
    """Answers with the given codes, one after the other, and then with 200."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.got, self.delay = [], [], 0.0
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sleep(self.server.delay)
        code = self.server.answers.pop(0) if self.server.answers else 200
        self.server.got.append((code, self.path, dict(self.headers), json.loads(body)))
        self.send_response(code)
        if code == 302:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(webhook, "_FIRST_PAUSE_S", 0.02)


def seen(time, *classes):
    n = len(classes)
    found = Detections(
        np.zeros((n, 4), np.float32), np.full(n, 0.5, np.float32), np.array(classes, int), LABELS
    )
    return Result(Frame(IMAGE, time, round(time * 10), "clip"), found)


def event(i):
    item = Window(np.zeros((1, 1), np.float32), i, i + 1.0, i, "wrist")
    scores = Classification(np.array([0.2, 0.8], np.float32), LABELS)
    return Result(item, scores, (Event("dog", i, i + 1.0, 0.9),))


def test_what_begins_and_ends_is_posted_and_nothing_else(server):
    sink = WebhookSink(server.url)
    sees = [(0,), (0, 0), (), (0,), (0, 1), (1,), (1,), (1,), ()]
    for i, classes in enumerate(sees):
        sink.write(seen(i * 0.4, *classes))
    sink.close()
    bodies = [body for *_, body in server.got]
    assert [(b["frame"], b["began"], b["ended"]) for b in bodies] == [
        (0, ["person"], []),
        (16, ["dog"], []),
        (28, [], ["person"]),  # not seen since 1.6 s
    ]
    assert [d["label"] for d in bodies[1]["detections"]] == ["person", "dog"]


def test_events_are_posted_and_windows_without_are_not(server):
    sink = WebhookSink(server.url)
    sink.write(event(3))
    sink.write(Result(event(4).item, event(4).prediction))
    sink.close()
    ((code, path, headers, body),) = server.got
    assert (code, path, headers["Content-Type"]) == (200, "/hook", "application/json")
    assert body["events"] == [{"label": "dog", "start": 3, "end": 4.0, "score": 0.9}]


def test_a_server_that_fails_twice_gets_all_in_order(server, caplog):
    server.answers = [503, 429]
    sink = WebhookSink(server.url)
    for i in range(5):
        sink.write(event(i))
    sink.close()
    assert [(code, body["frame"]) for code, *_, body in server.got] == [
        (503, 0), (429, 0), (200, 0), (200, 1), (200, 2), (200, 3), (200, 4),
    ]  # fmt: skip
    assert caplog.text == ""


@pytest.mark.parametrize("code", [404, 302])
def test_what_will_not_get_better_is_not_repeated(server, caplog, code):
    server.answers = [code]
    sink = WebhookSink(server.url)
    for i in range(2):
        sink.write(event(i))
    sink.close()
    assert [(got, body["frame"]) for got, *_, body in server.got] == [(code, 0), (200, 1)]
    assert f"the server answers {code}" in caplog.text


def test_without_a_server_the_loop_goes_on_and_the_loss_is_counted(caplog):
    with caplog.at_level(logging.INFO, "edgenn"):
        sink = WebhookSink("http://user:secret@127.0.0.1:9/token", drain_s=0.3)
        start = monotonic()
        for i in range(1000):
            sink.write(event(i))
        written = monotonic()
        sink.close()
    assert written - start < 1
    assert monotonic() - written < 2
    assert "webhook http://127.0.0.1:9: Connection refused" in caplog.text
    assert "0 results delivered" in caplog.text
    assert "secret" not in caplog.text
    assert "token" not in caplog.text


def test_a_slow_server_does_not_hold_up_the_end(server):
    server.delay = 1.5
    sink = WebhookSink(server.url, drain_s=0.2)
    sink.write(event(0))
    start = monotonic()
    sink.close()
    assert monotonic() - start < 1.4


def test_credentials_go_into_a_header(server):
    sink = WebhookSink(server.url.replace("//", "//me:p%40ss@"))
    sink.write(event(0))
    sink.close()
    ((*_, headers, _),) = server.got
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="


@pytest.mark.parametrize("url", ["ftp://host/", "host/path", "http://", "http://h:x/", "file:///a"])
def test_other_addresses_are_refused(url):
    with pytest.raises(UsageError, match="--webhook wants an address such as https://host/path"):
        WebhookSink(url)
