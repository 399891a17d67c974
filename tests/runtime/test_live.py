"""Live sources: the newest frame only, and opened again when they fail.

The streams are real ones: multipart JPEG over HTTP from a server in this process, read by
OpenCV as a network camera is.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
from time import monotonic, sleep

import cv2
import numpy as np
import pytest

import edgenn
from edgenn import Pipeline, Samples
from edgenn.errors import SourceError
from edgenn.runtime import live
from edgenn.runtime.live import Live
from edgenn.runtime.pipeline import open_for
from edgenn.runtime.sinks.memory import MemorySink
from edgenn.runtime.sources import Source, open_source

RATE = 50
BITS = 12
_earlier = set()  # threads of tests before, some of which hang in a source made for that


def draw(number):
    """A picture that carries its number as black and white squares."""
    bits = [number >> i & 1 for i in range(BITS)]
    row = np.repeat(np.array(bits, np.uint8) * 255, 16)
    return np.repeat(np.tile(row, (64, 1))[..., None], 3, 2)


def number(image):
    bits = image[32, 8::16, 1] > 127
    return int(sum(1 << i for i, bit in enumerate(bits[:BITS]) if bit))


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends pictures without end, as network cameras do."""

    def do_GET(self):
        server = self.server
        server.connections.append(self.connection)
        with contextlib.suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=picture")
            self.end_headers()
            while not server.is_killed.is_set():
                server.flows.wait()
                n = int((monotonic() - server.start) * RATE)
                server.sent[n] = monotonic()
                data = cv2.imencode(".jpg", draw(n))[1].tobytes()
                head = (
                    f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                )
                self.wfile.write(head.encode() + data + b"\r\n")
                sleep(max(0.0, server.start + (n + 1) / RATE - monotonic()))
        self.close_connection = True

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """A network camera that can be killed, restarted and stalled."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port=0, start=None):
        super().__init__(("127.0.0.1", port), Handler)
        self.start = start or monotonic()
        self.sent, self.connections = {}, []
        self.is_killed, self.flows = threading.Event(), threading.Event()
        self.flows.set()
        self.url = f"http://127.0.0.1:{self.server_port}/camera.mjpg"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, *args):
        pass

    def kill(self):
        self.is_killed.set()
        self.flows.set()
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server():
    server = Server()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(live, "_FIRST_WAIT_S", 0.05)
    _earlier.update(threading.enumerate())


@pytest.fixture
def squares(tiny):
    return edgenn.load(tiny / "tiny-detect.edgenn")


def keep(url, **options):
    """The source of a URL, kept alive."""

    def reopen():
        return open_source(url)

    return Live(reopen, reopen(), **options)


def readers():
    new = set(threading.enumerate()) - _earlier
    return [t for t in new if t.name.startswith("edgenn reads")]


def wait_until(condition, seconds=5.0):
    end = monotonic() + seconds
    while not condition():
        assert monotonic() < end, "it did not happen in time"
        sleep(0.01)


def test_a_run_goes_on_when_the_camera_was_killed_and_restarted(server, squares):
    seen, again = [], []

    def look(result):
        seen.append((result.item.index, number(result.item.image), result.item.time))
        if len(seen) == 20:
            server.kill()
            threading.Timer(
                0.5, lambda: again.append(Server(server.server_port, server.start))
            ).start()

    pipeline = Pipeline(open_for(squares, server.url), squares, max_frames=50)
    summary = pipeline.run(look)
    again[0].kill()
    assert (summary.frames, summary.reconnects, summary.gaps) == (50, 1, 1)
    for column in zip(*seen, strict=True):
        assert np.all(np.diff(column) > 0)
    times = [time for *_, time in seen]
    assert max(np.diff(times)) > 0.4
    assert not readers()


def test_a_camera_that_stalls_is_opened_again(server):
    with keep(server.url, stall=0.4) as source:
        frames = iter(source)
        before = [number(next(frames).image) for _ in range(5)]
        server.flows.clear()
        threading.Timer(1.0, server.flows.set).start()
        after = [number(next(frames).image) for _ in range(50)]
    assert source.reconnects == 1
    assert before == sorted(before)
    assert after == sorted(after)
    assert after[0] > before[-1]
    assert after[-1] > before[-1] + RATE
    wait_until(lambda: not readers())  # also the one that hung


def test_closing_does_not_wait_for_a_camera_that_stalls(server):
    source = keep(server.url)
    frames = iter(source)
    next(frames)
    server.flows.clear()
    sleep(0.1)
    begun = monotonic()
    source.close()
    source.close()
    assert monotonic() - begun < 1.5
    assert len(list(frames)) <= 1
    server.flows.set()
    wait_until(lambda: not readers())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_run_whose_camera_stalls(server, tiny, number):
    command = [sys.executable, "-m", "edgenn", "run", str(tiny / "tiny-detect.edgenn")]
    process = subprocess.Popen(
        [*command, "--source", server.url, "--out", os.devnull], stderr=subprocess.PIPE, text=True
    )
    wait_until(lambda: len(server.sent) > 20, 20)
    server.flows.clear()
    sleep(0.3)
    begun = monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=10)
    assert monotonic() - begun < 2
    assert process.returncode == 0, err
    assert "per second)" in err


def test_a_slow_consumer_gets_the_newest_frame_and_counts_the_others():
    ages, frames = [], []
    with keep("test://?size=64x48&fps=25") as source:
        for frame in source:
            ages.append(monotonic() - frame.time)
            frames.append(frame.index)
            if len(frames) == 12:
                break
            sleep(0.13)
    # The last is allowed for a machine that was busy elsewhere.
    assert sorted(ages)[-2] < 2 / 25
    assert np.all(np.diff(frames) >= 2)
    missed = frames[-1] + 1 - len(frames)
    assert missed <= source.dropped <= missed + 1


def test_the_last_failure_in_a_row_ends_the_run(squares, monkeypatch):
    monkeypatch.setattr(live, "_FIRST_WAIT_S", 0.3)  # longer than a connection holds
    for retries in (0, 2):
        source = open_for(squares, "test://?size=64x48&fps=500&fail_at=2", retries=retries)
        pipeline = Pipeline(source, squares)
        with pytest.raises(SourceError, match=r"fails at frame \d"):
            pipeline.run()
        assert pipeline.health.reconnects == retries
        assert pipeline.health.frames + pipeline.health.dropped >= 2 * (retries + 1)


def test_a_connection_that_holds_ends_the_row():
    with keep("test://?size=64x48&fps=100&fail_at=15", retries=1) as source:
        indices = [f.index for f in itertools.islice(source, 60)]
    assert source.reconnects >= 3
    assert np.all(np.diff(indices) >= 1)


def test_a_wrong_name_fails_at_once(squares):
    with pytest.raises(SourceError, match="no setting 'colour'"):
        open_for(squares, "test://?fps=30&colour=red")


def test_what_is_not_live_is_left_alone(squares, clip, pictures):
    for text in (clip, pictures, "test://?frames=3"):
        with open_for(squares, text) as source:
            assert not isinstance(source, Live)


def test_readers_that_hang_are_not_piled_up():
    with keep("test://?size=64x48&fps=100&stall_at=0&stall=2.5", stall=0.05, retries=4) as source:
        with pytest.raises(SourceError, match=r"hangs: 4 reads of it have not returned"):
            next(iter(source))
        assert len(readers()) <= 5
    wait_until(lambda: not readers())


def test_a_source_that_crashes_is_an_error_where_its_items_are_taken():
    class Broken(Wrist):
        def __iter__(self):
            yield from super().__iter__()
            raise ZeroDivisionError

    source = Live(Broken, Broken())
    taken = []
    with pytest.raises(ZeroDivisionError):
        taken.extend(source)
    assert len(taken) == 20


def test_closed_before_it_began():
    wrist = Wrist()
    source = Live(Wrist, wrist)
    source.close()
    assert wrist.is_closed
    assert list(source) == []


class Wrist(Source):
    """A sensor at 20 readings a second, delivered at once."""

    live, fps, name = True, 20.0, "wrist"

    def __init__(self, start=0, count=20, fails=False):
        self.dropped, self.is_closed = 0, False
        self._start, self._count, self._fails = start, count, fails

    def __iter__(self):
        for i in range(self._start, self._start + self._count):
            times = np.arange(5 * i, 5 * i + 5) / 20
            yield Samples(np.zeros((5, 2), np.float32), times, self.name)
        if self._fails:
            raise SourceError("the wrist came off")

    def close(self):
        self.is_closed = True


def test_readings_are_not_dropped_until_the_queue_is_full():
    for count, kept in ((800, 800), (live._MOST_READINGS + 300, live._MOST_READINGS)):
        source = Live(Wrist, Wrist(count=count))
        items = iter(source)
        taken = [next(items)]
        wait_until(lambda: not readers())
        taken += items
        assert len(taken) + source.dropped == count
        assert len(taken) in (kept, kept + 1)
        assert np.all(np.diff([s.times[0] for s in taken]) > 0)


def test_no_window_spans_a_failure(tiny):
    levels = edgenn.load(tiny / "tiny-sequence.edgenn")
    parts = [Wrist(20, 20)]
    source = Live(parts.pop, Wrist(0, 20, fails=True))
    pipeline = Pipeline(source, levels)
    windows = [r.item for r in pipeline]
    # Its times go on without a pause: only the source knows.
    assert len(windows) - 1 == 2 * ((100 - 20) // 5 + 1)
    assert not any(w.start < 5 <= w.end for w in windows)
    assert (pipeline.health.gaps, pipeline.health.reconnects) == (1, 1)


def piped(count):
    """A sensor whose program waits while nothing is taken."""
    wrist = Wrist(count=count)
    wrist.waits = True
    return Live(Wrist, wrist)


def test_of_a_pipe_nothing_is_lost_however_late_it_is_taken(tiny):
    count = live._MOST_READINGS + 300
    source = piped(count)
    items = iter(source)
    taken = [next(items)]
    sleep(0.3)
    assert readers()
    assert [i.times[0] for i in [*taken, *items]] == [5 * i / 20 for i in range(count)]
    assert source.dropped == 0

    class Late(MemorySink):
        inline = False

        def write(self, result):
            sleep(0.02)
            super().write(result)

    late = Late()
    summary = Pipeline(piped(60), edgenn.load(tiny / "tiny-sequence.edgenn"), [late]).run()
    # The last one again, with the event that the end of the stream makes.
    assert (summary.frames, len(late.results)) == (57, 58)


def test_closing_does_not_wait_for_a_pipe_that_is_not_read():
    source = piped(live._MOST_READINGS + 300)
    next(iter(source))
    sleep(0.3)
    begun = monotonic()
    source.close()
    assert monotonic() - begun < 0.5
    wait_until(lambda: not readers())


def test_closing_does_not_wait_for_an_opening_that_hangs():
    ends = threading.Event()

    def reopen():
        ends.wait(20)
        return wrist

    wrist = Wrist(20, 20)
    source = Live(reopen, Wrist(0, 20, fails=True))
    items = iter(source)
    for _ in range(20):
        next(items)
    threading.Timer(0.3, source.stop).start()
    begun = monotonic()
    assert list(items) == []
    assert monotonic() - begun < 2
    ends.set()
    wait_until(lambda: wrist.is_closed and not readers())
