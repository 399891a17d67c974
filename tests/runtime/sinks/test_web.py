from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from pathlib import Path
from time import monotonic, sleep

import cv2
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgenn.errors import SinkError, UsageError
from edgenn.runtime.health import Health
from edgenn.runtime.sinks.web import open_sink
from edgenn.runtime.web import server
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

TOKEN = "a-token-for-tests"
LATENCY = {"capture": 1.0, "preprocess": 0.5, "inference": 8.0, "decode": 0.3, "total": 9.8}


def frame(i: int, events: tuple[Event, ...] = ()) -> Result:
    """A square that moves to the right over a grey picture."""
    image = np.full((240, 320, 3), 90, np.uint8)
    x = 5 * i % 260
    image[80:140, x : x + 60] = (40, 160, 240)
    boxes = np.array([[x, 80, x + 60, 140]], np.float32)
    score = np.array([0.6 + 0.3 * np.sin(i / 9)], np.float32)
    found = Detections(boxes, score, np.array([0]), ("square",))
    return Result(Frame(image, i / 20, i, "test clip"), found, events, LATENCY)


def busy() -> Health:
    """Counters of a run in which a bit of everything happened."""
    health = Health()
    health.dropped, health.reconnects, health.level = 3, 2, 1
    health.reason = "cpu has 81 °C"
    counts = health.sink("mqtt")
    counts.dropped, counts.failed = 3, 4
    for ms in range(1, 101):
        counts.latency.add(ms)
    return health


@pytest.fixture
def page():
    """Opens pages, and closes them again without leaving a thread."""
    opened = []
    before = set(threading.enumerate())

    def make(target="0", **options):
        opened.append(open_sink(target, **options))
        return opened[-1]

    yield make
    for sink in opened:
        sink.close()
        sink.close()
    end = monotonic() + 5
    while (left := set(threading.enumerate()) - before) and monotonic() < end:
        sleep(0.02)
    assert not left


def port_of(sink) -> int:
    return int(sink.url.rstrip("/").rpartition(":")[2])


def until(is_so, seconds: float = 5) -> bool:
    """Whether something comes true in time."""
    end = monotonic() + seconds
    while not (found := is_so()) and monotonic() < end:
        sleep(0.05)
    return found


def get(sink, path, method="GET", **headers):
    """Status, headers and body of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=5)
    connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    result = answer.status, answer.headers, answer.read()
    connection.close()
    return result


@pytest.fixture
def fed(page):
    """A page that gets 50 results a second and an event every half a second."""
    sink = page(model="squares", card="# squares\n<b>not bold</b>")
    sink.attach(busy())
    stopped = threading.Event()

    def feed():
        i = 0
        while not stopped.wait(0.02):
            events = (
                (Event(f"passed <i>{i}</i>", i / 50, i / 50 + 1.2, 0.9),) if i % 25 == 0 else ()
            )
            sink.write(frame(i, events))
            i += 1

    thread = threading.Thread(target=feed)
    thread.start()
    yield sink
    stopped.set()
    thread.join()


def pixels(browser) -> str:
    """The live picture, small, as the browser has it."""
    return browser.run(
        "(() => { const c = document.createElement('canvas'); c.width = 64; c.height = 48;"
        "c.getContext('2d').drawImage(document.getElementById('picture'), 0, 0, 64, 48);"
        "return c.toDataURL(); })()"
    )


def test_a_browser_shows_a_moving_picture_events_and_charts(browser, fed, tmp_path):
    browser.call("Page.navigate", url=fed.url)
    browser.wait("document.getElementById('picture')?.naturalWidth === 320")
    shown = set()
    for _ in range(10):
        shown.add(pixels(browser))
        sleep(0.15)
    assert len(shown) >= 4
    assert browser.wait("document.querySelector('#events b')?.textContent").startswith("passed <i>")
    browser.wait("document.querySelector('#rate ~ .legend').textContent.startsWith('results ')")
    sleep(2.5)
    rate = browser.run("document.querySelector('#rate ~ .legend').textContent.split(' ')[1]")
    assert 10 < float(rate) <= 55
    assert browser.run("document.getElementById('state').textContent") == "live"
    assert browser.run("document.getElementById('seen').textContent") == "square 1"
    numbers = browser.run("document.getElementById('numbers').textContent")
    assert "dropped by source3" in numbers
    assert "doing less (1)cpu has 81 °C" in numbers
    browser.run("document.querySelector('details').open = true")
    card = browser.wait("document.getElementById('card').textContent")
    assert card.startswith("# squares\n<b>")
    browser.phone()
    sleep(1.2)
    assert browser.run("document.documentElement.scrollWidth") == 390
    if folder := os.environ.get("EDGENN_SCREENSHOTS"):
        browser.screenshot(Path(folder) / "phone.png")
        browser.call("Emulation.clearDeviceMetricsOverride")
        sleep(1.2)
        browser.screenshot(Path(folder) / "desk.png")
    browser.run("Object.defineProperty(document, 'hidden', { get: () => true })")
    assert until(lambda: fed._pictures._watchers == 0)
    assert browser.faults == []


def test_a_browser_gets_in_with_the_token_and_keeps_it(browser, page):
    sink = page(token=TOKEN)
    sink.write(frame(0))
    browser.call("Page.navigate", url=f"{sink.url}?token={TOKEN}")
    browser.wait("document.getElementById('state')?.textContent === 'live'")
    assert browser.run("location.href") == sink.url
    assert browser.faults == []


def test_pictures_are_encoded_only_while_somebody_watches(page, monkeypatch):
    encoded = []
    real = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *a: encoded.append(monotonic()) or real(*a))
    sink = page(max_fps=20)
    for i in range(50):
        sink.write(frame(i))
    sleep(0.1)
    assert encoded == []
    watcher = socket.create_connection(("127.0.0.1", port_of(sink)), timeout=5)
    watcher.sendall(b"GET /video.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = b""
    start = monotonic()
    for i in range(50, 150):
        sink.write(frame(i))
        sleep(0.01)
    end = monotonic() + 0.1
    while (left := end - monotonic()) > 0:
        watcher.settimeout(left)
        try:
            data += watcher.recv(1 << 16)
        except TimeoutError:
            break
    watched = encoded[-1] - start
    assert 5 <= len(encoded) <= 20 * watched + 2
    # The newest frame is shown: the square of one of the last frames, and nothing before it.
    jpegs = data.split(b"--edgenn-picture")[1:]
    newest = jpegs[-1].partition(b"\r\n\r\n")[2]
    picture = cv2.imdecode(np.frombuffer(newest, np.uint8), cv2.IMREAD_COLOR)
    columns = np.flatnonzero(picture[135, :, 2].astype(int) - picture[135, :, 0] > 100)
    assert abs(columns.mean() - (5 * 149 % 260 + 30)) < 5 * 25
    watcher.close()
    assert until(lambda: sink.write(frame(0)) or sink._pictures._watchers == 0)
    encoded.clear()
    for i in range(20):
        sink.write(frame(i))
    sleep(0.1)
    assert encoded == []


def test_a_reused_buffer_does_not_tear_the_picture(page):
    sink = page(max_fps=100)
    watcher = http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=5)
    watcher.request("GET", "/video.mjpg")
    buffer = np.zeros((240, 320, 3), np.uint8)
    empty = Detections.empty(("a",))
    answer = None
    for i in range(60):
        buffer[:] = 255 * (i % 2)
        sink.write(Result(Frame(buffer, i, i), empty))
        buffer[120:] = 128
        sleep(0.005)
    answer = watcher.getresponse()
    data = answer.read1(1 << 20)
    first = data.partition(b"\r\n\r\n")[2].partition(b"\r\n--edgenn")[0]
    picture = cv2.imdecode(np.frombuffer(first, np.uint8), cv2.IMREAD_COLOR)
    assert picture.std() < 2
    watcher.close()


@pytest.mark.parametrize("path", ["/", "/live.json", "/metrics", "/card.md", "/nothing"])
def test_headers_are_safe_everywhere(page, path):
    _, headers, _ = get(page(), path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    rules = headers["Content-Security-Policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} <= set(rules)
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "Python" not in headers["Server"]


@pytest.mark.parametrize(
    "path",
    [
        "/../server.py",
        "/page/../../board.py",
        "/%2e%2e/server.py",
        "/..%2fserver.py",
        "//etc/passwd",
        "/page.js/../../server.py",
        "/etc/passwd",
        "/page.js%00",
        "http://127.0.0.1/page.js",
    ],
)
def test_only_the_routes_are_there(page, path):
    status, _, body = get(page(), path)
    assert (status, body) == (404, b"There is nothing here.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_only_get(page, method):
    status, headers, _ = get(page(), "/", method)
    assert (status, headers["Allow"]) == (405, "GET")


def test_a_request_that_is_no_http(page):
    with socket.create_connection(("127.0.0.1", port_of(page())), timeout=5) as client:
        client.sendall(b"\x16\x03\x01 nonsense for a server\r\n\r\n")
        answer = client.recv(1 << 16)
    assert b" 400 " in answer
    assert b"nonsense" not in answer


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_name_for_this_machine_is_refused(page, host):
    status, _, body = get(page(), "/live.json", Host=host)
    assert status == 421
    assert b"frames" not in body


def test_with_a_token_any_name_will_do_as_behind_a_proxy(page):
    sink = page(token=TOKEN)
    assert get(sink, "/live.json", Host="camera.example")[0] == 401
    bearer = f"Bearer {TOKEN}"
    assert get(sink, "/live.json", Host="camera.example", Authorization=bearer)[0] == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:99", "127.0.0.1:8080", "[::1]:8080"])
def test_own_names_are_taken(page, host):
    assert get(page(), "/live.json", Host=host)[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/page.js", "/live.json", "/metrics", "/card.md", "/video.mjpg"]
)
def test_nothing_without_the_token(page, path):
    sink = page(token=TOKEN)
    wrong = TOKEN[:-1] + "x"
    cookie = f"edgenn_{port_of(sink)}"
    assert get(sink, path)[0] == 401
    assert get(sink, f"{path}?token={wrong}")[0] == 401
    assert get(sink, path, Authorization=f"Bearer {wrong}")[0] == 401
    assert get(sink, path, Authorization="Bearer")[0] == 401
    assert get(sink, path, Cookie=f"{cookie}={wrong}")[0] == 401
    assert get(sink, path, Cookie=f"{cookie}1={TOKEN}")[0] == 401
    if path != "/video.mjpg":
        assert get(sink, path, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert get(sink, path, Cookie=f"a={{b; {cookie}={TOKEN}; c")[0] == 200


def test_the_token_moves_from_the_address_into_a_cookie(page):
    status, headers, body = get(page(token=TOKEN), f"/?token={TOKEN}")
    assert (status, headers["Location"], body) == (303, "/", b"")
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite" in headers["Set-Cookie"]


def test_an_address_that_others_reach_gets_a_token(page):
    assert page("127.0.0.1:0").token is None
    assert page("localhost:0").token is None
    first, second = page("0.0.0.0:0"), page("0.0.0.0:0")
    assert len(first.token) >= 32
    assert first.token != second.token
    assert get(first, "/live.json")[0] == 401
    assert (
        get(first, "/live.json", Authorization=f"Bearer {first.token}", Host="camera.lan")[0] == 200
    )


def test_probes_need_no_token_and_say_nothing(page, monkeypatch):
    sink = page(token=TOKEN, model="secret")
    assert get(sink, "/healthz")[::2] == (200, b"ok\n")
    assert get(sink, "/readyz")[::2] == (503, b"no result of late\n")
    sink.write(frame(0))
    assert get(sink, "/readyz")[::2] == (200, b"ok\n")
    monkeypatch.setattr("edgenn.runtime.web.board.READY_WITHIN", 0.0)
    assert get(sink, "/readyz")[0] == 503


def test_no_more_clients_than_places(page, monkeypatch):
    monkeypatch.setattr(server, "MAX_CLIENTS", 3)
    sink = page()
    address = ("127.0.0.1", port_of(sink))
    held = [socket.create_connection(address, timeout=5) for _ in range(3)]
    sleep(0.2)
    with socket.create_connection(address, timeout=5) as late:
        assert late.recv(100).startswith(b"HTTP/1.0 503 ")
    for client in held:
        client.close()
    sleep(0.2)
    assert get(sink, "/healthz")[0] == 200


def test_no_more_watchers_than_places_and_room_for_the_page(page):
    sink = page()
    watchers = []
    for _ in range(4):
        watchers.append(http.client.HTTPConnection("127.0.0.1", port_of(sink), timeout=5))
        watchers[-1].request("GET", "/video.mjpg")
        assert watchers[-1].getresponse().status == 200
    status, headers, _ = get(sink, "/video.mjpg")
    assert (status, headers["Retry-After"]) == (503, "5")
    assert get(sink, "/live.json")[0] == 200
    for watcher in watchers:
        watcher.close()


def test_a_watcher_who_does_not_read_holds_up_nobody(page, monkeypatch):
    monkeypatch.setattr(server.Handler, "timeout", 0.5)
    sink = page(max_fps=50)
    stuck = socket.create_connection(("127.0.0.1", port_of(sink)), timeout=5)
    stuck.sendall(b"GET /video.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3)).astype(np.uint8)
    longest = 0.0

    def write():
        nonlocal longest
        start = monotonic()
        sink.write(Result(Frame(noise, 0, 0), Detections.empty(("a",))))
        longest = max(longest, monotonic() - start)

    assert until(lambda: write() or sink._pictures._watchers == 1)
    assert until(lambda: write() or sink._pictures._watchers == 0)
    assert longest < 0.2
    stuck.close()


def test_a_request_that_drips_is_cut_off(page, monkeypatch):
    monkeypatch.setattr(server, "TIMEOUT", 0.4)
    sink = page()
    with socket.create_connection(("127.0.0.1", port_of(sink)), timeout=5) as client:
        start = monotonic()
        is_open = True
        while is_open and monotonic() < start + 5:
            sleep(0.05)
            try:
                client.sendall(b"G")
            except OSError:
                is_open = False
        assert not is_open
        assert monotonic() < start + 3


def test_metrics_are_what_prometheus_reads(page):
    sink = page(model='a "b"\\c')
    sink.attach(busy())
    for i in range(10):
        sink.write(frame(i, (Event("x\ny", 0, 1, 0.5),) if i > 7 else ()))
    status, headers, body = get(sink, "/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(body.decode())}
    flat = {
        (s.name, *sorted(s.labels.items())): s.value for f in families.values() for s in f.samples
    }
    assert flat["edgenn_model_info", ("model", 'a "b"\\c')] == 1
    assert flat["edgenn_frames_total",] == 10
    assert flat["edgenn_dropped_total",] == 3
    assert flat["edgenn_sink_dropped_total", ("sink", "mqtt")] == 3
    assert flat["edgenn_sink_failed_total", ("sink", "mqtt")] == 4
    median = ("quantile", "0.5"), ("sink", "mqtt")
    assert flat[("edgenn_sink_latency_seconds", *median)] == pytest.approx(0.05, rel=0.02)
    assert flat["edgenn_reconnects_total",] == 2
    assert flat["edgenn_degrade_level",] == 1
    assert flat["edgenn_events_total", ("label", "x\ny")] == 2
    assert families["edgenn_latency_seconds"].type == "histogram"
    stage = ("stage", "inference")
    assert flat["edgenn_latency_seconds_count", stage] == 10
    assert flat["edgenn_latency_seconds_sum", stage] == pytest.approx(0.08)
    buckets = {
        float(s.labels["le"]): s.value
        for s in families["edgenn_latency_seconds"].samples
        if s.name.endswith("_bucket") and s.labels["stage"] == "inference"
    }
    assert buckets[0.005] == 0
    assert buckets[0.01] == buckets[float("inf")] == 10
    assert list(buckets.values()) == sorted(buckets.values())


def test_readings_have_scores_but_no_picture(page):
    sink = page()
    scores = Classification(np.array([0.2, 0.8], np.float32), ("sit", "walk"))
    window = Window(np.zeros((4, 2), np.float32), 0, 1, 0, "wrist")
    sink.write(Result(window, scores, (), LATENCY))
    sleep(1.2)
    live = json.loads(get(sink, "/live.json")[2])
    assert live["picture"] is False
    assert live["seen"] == [["walk", 0.8], ["sit", 0.2]]
    assert live["rows"][0]["scores"] == {"walk": 0.8, "sit": 0.2}


def test_a_taken_port_is_a_sentence(page):
    sink = page()
    with pytest.raises(SinkError, match=r"cannot serve the web page at 127.0.0.1:\d+: Address"):
        open_sink(str(port_of(sink)))


@pytest.mark.parametrize("target", ["", "http://x:1", "99999", "8080:", "a b:80", "-1", "[::1]"])
def test_an_address_that_is_none(target):
    with pytest.raises(UsageError, match=r"is not \[HOST:\]PORT"):
        open_sink(target)


@pytest.mark.parametrize(
    "token", ["", "short", "with space in it", "a;b=cdefghijklmn", "ümlaut-token-x"]
)
def test_a_token_that_will_not_do(token):
    with pytest.raises(UsageError, match="a web token has 12 to 256 letters"):
        open_sink("0", token=token)
