from __future__ import annotations

import logging
import threading
from time import monotonic, sleep

import numpy as np
import pytest

import edgenn
from edgenn import Pipeline
from edgenn.errors import SinkError
from edgenn.runtime.sinks import Finished, Sink
from edgenn.runtime.sinks._queued import Queued, QueuedSink
from edgenn.runtime.sinks.memory import MemorySink
from edgenn.types import Detections, Frame, Result


class Slow(Sink):
    def __init__(self, seconds):
        self.seconds, self.seen, self.closed = seconds, [], 0

    def write(self, result):
        sleep(self.seconds)
        self.seen.append(result.item.index)

    def close(self):
        self.closed += 1


def moving(count, size=(96, 128)):
    """Frames in one buffer, as cameras have it."""
    image = np.zeros((*size, 3), np.uint8)
    for i in range(count):
        image[:] = i
        yield Frame(image, i / 10, i, "moving")


def seconds_of(model, sinks):
    start = monotonic()
    for _ in Pipeline(moving(200), model, sinks):
        pass
    return monotonic() - start


def test_a_slow_sink_does_not_slow_the_loop(tiny):
    model = edgenn.load(tiny / "tiny-detect.edgenn")
    seconds_of(model, [])
    alone = seconds_of(model, [])
    slow = Slow(0.05)  # 10 s for all
    sink = QueuedSink(slow, "slow", limit=4, drain_s=1.0)
    beside = seconds_of(model, [sink])
    assert beside < 2 * alone + 1.0 + 0.5  # `close` drains
    assert slow.closed == 1
    assert sink.queue.counts.dropped > 100
    assert sink.queue.delivered + sink.queue.counts.dropped == 200
    assert slow.seen == sorted(slow.seen)
    assert slow.seen[-1] == 199  # the oldest go, not the newest


def test_writing_takes_no_time_while_the_target_hangs():
    release = threading.Event()
    queue = Queued("hung", lambda _: release.wait(10), limit=3, drain_s=0.2)
    start = monotonic()
    for i in range(1000):
        queue.put(i)
    assert monotonic() - start < 1
    assert 996 <= queue.counts.dropped <= 997
    queue.close()
    assert monotonic() - start < 2
    release.set()
    assert queue.counts.dropped == 999


def test_what_is_patient_waits_once_for_a_target_that_hangs_and_again_when_it_works():
    release = threading.Event()
    queue = Queued("hung", lambda _: release.wait(10), limit=3, drain_s=0.2)
    start = monotonic()
    for i in range(100):
        queue.put(i, patience=0.4)
    assert 0.4 <= monotonic() - start < 1
    release.set()
    while queue.delivered < 4:
        sleep(0.01)
    dropped = queue.counts.dropped
    queue._deliver = lambda _: sleep(0.01)
    for i in range(50):
        queue.put(i, patience=0.4)
    queue.close()
    assert queue.counts.dropped == dropped


def test_close_delivers_what_waits_and_ends_the_thread():
    seen = []
    queue = Queued("fine", lambda i: (sleep(0.001), seen.append(i)))
    for i in range(100):
        queue.put(i)
    queue.close()
    queue.close()
    queue.put(100)
    assert seen == list(range(100))
    assert (queue.delivered, queue.counts.dropped) == (100, 1)
    assert not any(t.name == "edgenn fine" for t in threading.enumerate())


def test_an_outage_is_logged_once_and_counted(caplog):
    down = {2, 3, 4, 7}

    def deliver(i):
        if i in down:
            raise SinkError("the server is away")

    queue = Queued("target", deliver)
    with caplog.at_level(logging.INFO, "edgenn"):
        for i in range(10):
            queue.put(i)
        queue.close()
    assert (queue.delivered, queue.counts.failed) == (6, 4)
    assert [r.message for r in caplog.records] == [
        "target: the server is away",
        "target: works again",
        "target: the server is away",
        "target: works again",
        "target: 6 results delivered, 0 dropped, 4 failed",
    ]


def test_a_bug_in_the_target_shows_its_place_and_delivery_goes_on(caplog):
    queue = Queued("odd", lambda i: 1 / i)
    for i in (0, 1):
        queue.put(i)
    queue.close()
    assert (queue.delivered, queue.counts.failed) == (1, 1)
    assert "ZeroDivisionError" in caplog.text


def test_frames_are_copied_because_sources_reuse_their_buffers():
    memory = MemorySink()
    sink = QueuedSink(memory, "memory", limit=10)
    for frame in moving(5):
        sink.write(Result(frame, Detections.empty()))
    sink.close()
    assert [int(r.item.image[0, 0, 0]) for r in memory.results] == [0, 1, 2, 3, 4]


def test_a_reader_that_went_away_ends_the_run():
    class Gone(MemorySink):
        def write(self, result):
            raise Finished

    sink = QueuedSink(Gone(), "gone")
    result = Result(next(moving(1)), Detections.empty())
    sink.write(result)
    until = monotonic() + 5
    while not sink.queue.finished and monotonic() < until:
        sleep(0.01)
    with pytest.raises(Finished):
        sink.write(result)
    sink.close()
