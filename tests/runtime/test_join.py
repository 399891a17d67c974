from __future__ import annotations

import json
import socket
import threading
from time import monotonic

import numpy as np
import pytest
from sensors import feed

import edgenn
from edgenn.errors import SourceError, UsageError
from edgenn.runtime import join
from edgenn.runtime.join import Joined, open_joined
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.sinks.jsonl import json_schema, to_dict
from edgenn.runtime.sources import Source
from edgenn.types import Frame, Samples


class Fake(Source):
    """Delivers what it is told to, or fails where that is an error."""

    def __init__(self, items, live=False, name="fake"):
        self.name, self.live, self.fps, self.dropped = name, live, 10.0, 0
        self._items, self.closed = items, False

    def __iter__(self):
        for item in self._items:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self):
        self.closed = True


def frames(*times):
    return [Frame(np.full((2, 2, 3), i, np.uint8), t, i, "eye") for i, t in enumerate(times)]


def samples(*times, index=0):
    values = np.arange(index, index + len(times), dtype=np.float32)[:, None]
    return Samples(values, np.array(times, np.float64), "wrist", index, ("x",))


def listed(joined):
    with joined:
        return [None if f.readings is None else f.readings.times.tolist() for f in joined]


@pytest.mark.parametrize("size", [1, 3, 64])
def test_each_frame_gets_the_readings_since_the_one_before(size):
    times = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9]
    parts = [samples(*times[i : i + size], index=i) for i in range(0, len(times), size)]
    joined = Joined(Fake(frames(0.05, 0.1, 0.15, 0.41, 0.6)), Fake(parts))
    with joined:
        found = [f.readings for f in joined]
    assert [None if r is None else r.times.tolist() for r in found] == [
        [0.0],
        [0.1],
        None,
        [0.2, 0.3, 0.4],
        [0.5],
    ]
    assert [r.index for r in found if r] == [0, 1, 2, 5]
    assert all(
        r.values[:, 0].tolist() == list(range(r.index, r.index + len(r.times))) for r in found if r
    )
    assert {r.channels for r in found if r} == {("x",)}


def test_a_sensor_whose_clock_was_set_back_keeps_its_order():
    joined = Joined(Fake(frames(0.1, 0.5, 1.0)), Fake([samples(0.05, 0.3, 0.0, np.nan, 0.7)]))
    assert [len(found or []) for found in listed(joined)] == [1, 3, 1]


def test_a_recording_that_begins_long_before_the_video_takes_no_memory(monkeypatch):
    monkeypatch.setattr(join, "_MOST_READINGS", 100)
    parts = [samples(*(np.arange(10 * i, 10 * i + 10) / 100), index=10 * i) for i in range(50)]
    joined = Joined(Fake(frames(4.985, 6.0)), Fake(parts))
    first, second = joined
    assert len(first.readings.times) == 109
    assert first.readings.times[-1] == 4.98
    assert second.readings.times.tolist() == [4.99]
    assert joined.side_dropped == 390


@pytest.mark.parametrize("size", [1, 2, 64])
def test_readings_get_the_newest_frame_however_they_are_cut(size):
    times = [0.0, 0.1, 0.2, 0.3, 0.4]
    parts = [samples(*times[i : i + size], index=i) for i in range(0, len(times), size)]
    joined = Joined(Fake(parts), Fake(frames(0.1, 0.15, 0.16, 0.4, 2.0)))
    found = [(t, None if s.frame is None else s.frame.time) for s in joined for t in s.times]
    assert found == [(0.0, None), (0.1, 0.1), (0.2, 0.16), (0.3, 0.16), (0.4, 0.4)]


def test_the_side_source_may_fail_and_may_end_early(caplog):
    side = [samples(0.05), SourceError("the wrist came off")]
    assert listed(Joined(Fake(frames(0.1, 0.2)), Fake(side))) == [[0.05], None]
    assert "the wrist came off; the other source goes on without it" in caplog.text
    assert listed(Joined(Fake(frames(0.1, 0.2)), Fake([]))) == [None, None]
    live = Joined(Fake(frames(0.1, 0.2), live=True), Fake([ZeroDivisionError("oops")], live=True))
    assert listed(live) == [None, None]


def test_both_are_closed_and_the_main_one_may_fail():
    main, side = Fake([*frames(0.1), SourceError("no light")]), Fake([samples(0.05)])
    with pytest.raises(SourceError, match="no light"):
        list(Joined(main, side))
    assert main.closed
    assert side.closed


def test_a_camera_has_no_common_time_with_a_recording():
    with pytest.raises(UsageError, match="eye is live and wrist a recording: they have no common"):
        Joined(Fake([], live=True, name="eye"), Fake([], name="wrist"))


def test_what_waits_of_a_live_sensor_is_bounded_and_counted(monkeypatch, caplog):
    monkeypatch.setattr(join, "_MOST_READINGS", 100)
    go = threading.Event()

    class Slow(Fake):
        def __iter__(self):
            go.wait(5)
            yield from super().__iter__()

    parts = [samples(*(np.arange(10 * i, 10 * i + 10) / 100), index=10 * i) for i in range(50)]
    joined = Joined(Slow(frames(99.0), live=True), Fake(parts, live=True))
    threading.Timer(0.3, go.set).start()
    (frame,) = joined
    assert len(frame.readings.times) == 100
    assert frame.readings.times[-1] == 4.99
    assert joined.side_dropped == 400
    assert caplog.text.count("fake delivers more than is taken") == 1
    assert not [t for t in threading.enumerate() if t.name.startswith("edgenn joins")]


def test_few_frames_wait_beside_a_live_sensor():
    go = threading.Event()

    class Slow(Fake):
        def __iter__(self):
            go.wait(5)
            yield from super().__iter__()

    joined = Joined(Slow([samples(99.0)], live=True), Fake(frames(*np.arange(50) / 10), live=True))
    threading.Timer(0.3, go.set).start()
    (found,) = joined
    assert found.frame.index == 49
    assert joined.side_dropped == 50 - join._MOST_FRAMES


@pytest.fixture
def squares(tiny):
    return edgenn.load(tiny / "tiny-detect.edgenn")


@pytest.fixture
def levels(tiny):
    return edgenn.load(tiny / "tiny-sequence.edgenn")


def test_a_video_and_a_recording_are_joined_the_same_each_time(squares, clip, recording):
    runs = []
    for _ in range(2):
        results = list(Pipeline(open_joined(squares, str(clip), str(recording)), squares))
        runs.append([to_dict(r) for r in results])
        for line in runs[-1]:
            line.pop("latency_ms")
    assert runs[0] == runs[1]
    # 10 frames and 20 readings a second.
    assert [len(line["readings"]["times"]) for line in runs[0]] == [1] + [2] * 19
    assert runs[0][3]["readings"]["times"] == [0.25, 0.3]
    assert runs[0][3]["readings"]["channels"] == ["y", "x"]
    assert np.shape(runs[0][3]["readings"]["values"]) == (2, 2)
    assert "readings" in json_schema()["properties"]


def test_windows_know_the_frame_beside_them(levels, clip, recording):
    results = list(Pipeline(open_joined(levels, str(clip), str(recording)), levels))
    alone = list(Pipeline(str(recording), levels))
    assert [r.prediction.label for r in results] == [r.prediction.label for r in alone]
    for result in results:
        window = result.item
        newest = min(1.9, window.end)
        assert newest - 0.1 - 1e-6 <= window.frame.time <= newest + 1e-6
    # A red square, as in the clip.
    assert np.abs(results[0].item.frame.image[20, 20] - [0.0, 0.0, 255.0]).max() < 60


def test_readings_that_could_not_be_measured_are_null_in_json(squares, clip, tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("time,x\n0,nan\n0.05,1.5\n", encoding="utf-8")
    results = list(Pipeline(open_joined(squares, str(clip), str(path)), squares, max_frames=2))
    lines = [json.loads(json.dumps(to_dict(r), allow_nan=False)) for r in results]
    assert [line["readings"]["values"] for line in lines] == [[[None]], [[1.5]]]


def test_a_live_camera_with_a_live_sensor(squares):
    """Readings carry the time at which they were sent, so that the join can be checked."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    source = open_joined(squares, "test://?size=64x48&fps=25", f"udp://127.0.0.1:{port}?columns=x")
    results = []
    with socket.socket(type=socket.SOCK_DGRAM) as out:
        thread = feed(
            range(200), lambda i: out.sendto(b"%.6f" % monotonic(), ("127.0.0.1", port)), rate=100
        )
        begun = monotonic()
        results = list(Pipeline(source, squares, max_frames=50))
        thread.join()
    assert monotonic() - begun < 5
    found = [(r.item, r.item.readings) for r in results if r.item.readings is not None]
    assert len(found) > 30
    times = np.concatenate([readings.times for _, readings in found])
    assert np.all(np.diff(times) > 0)
    assert all(readings.times[-1] <= frame.time for frame, readings in found)
    # Nothing is lost, and all but what came late is of the time since the frame before.
    counts = np.concatenate([np.arange(r.index, r.index + len(r.times)) for _, r in found])
    assert np.all(np.diff(counts) == 1)
    ages = [frame.time - t for frame, readings in found[2:] for t in readings.times]
    assert np.median(ages) < 0.06


def test_a_side_source_with_a_wrong_name_fails_at_once(squares, clip):
    with pytest.raises(SourceError, match=r"there is no sensor file at missing\.csv"):
        open_joined(squares, str(clip), "missing.csv")
    with pytest.raises(UsageError, match="delivers pictures"):
        open_joined(squares, str(clip), f"video:{clip}")
