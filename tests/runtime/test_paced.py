from __future__ import annotations

import threading
from time import monotonic

import numpy as np

from edgenn.runtime.paced import Paced
from edgenn.runtime.sources import open_source


def arrivals(source):
    begun = monotonic()
    return [(item, monotonic() - begun) for item in source]


def test_frames_come_at_their_time_and_all_of_them(clip):
    plain = list(open_source(clip))
    paced = Paced(open_source(clip))
    assert not paced.live
    found = arrivals(paced)
    assert [f.time for f, _ in found] == [f.time for f in plain]
    assert all(np.array_equal(a.image, b.image) for (a, _), b in zip(found, plain, strict=True))
    late = np.array([at - f.time for f, at in found])
    assert np.all(late > -0.005)
    assert np.median(late) < 0.05


def test_readings_come_one_by_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x\n" + "".join(f"{5 + i / 50},{i}\n" for i in range(25)))
    found = arrivals(Paced(open_source(path)))
    assert np.concatenate([s.values for s, _ in found])[:, 0].tolist() == list(range(25))
    late = np.array([at - (s.times[0] - 5) for s, at in found])
    assert np.all(late > -0.005)
    assert found[-1][1] > 0.45


def test_a_clock_that_was_set_back_does_not_stop_it(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x\n1000,1\n1000.1,2\n3,3\nnan,4\n3.1,5\n")
    found = arrivals(Paced(open_source(path)))
    assert len(found) == 5
    assert 0.15 < found[-1][1] < 1


def test_a_stop_does_not_wait_for_the_next_frame(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("time,x\n0,1\n1000,2\n")
    paced = Paced(open_source(path))
    threading.Timer(0.2, paced.stop).start()
    begun = monotonic()
    assert len(list(paced)) == 1
    assert monotonic() - begun < 1
