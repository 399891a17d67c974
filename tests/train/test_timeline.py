from __future__ import annotations

import cv2

from edgenn.train.events import Stream
from edgenn.train.timeline import MAX_STREAMS, mistakes, timeline
from edgenn.types import Event


def stream(name: str, wrong: int) -> Stream:
    truth = tuple(Event("wave", 10.0 * i, 10.0 * i + 2, 1.0) for i in range(20))
    found = tuple((e, e.end) for e in truth[wrong:])
    return Stream(name, truth, found, 200)


def test_missed_events_and_false_alarms_are_mistakes():
    truth = (Event("wave", 0, 1, 1), Event("push", 5, 6, 1))
    found = ((Event("wave", 0, 1, 1), 1.0), (Event("wave", 5, 6, 1), 6.0))
    assert mistakes(Stream("s", truth, found, 10)) == 2


def test_a_row_for_each_of_the_worst_streams(tmp_path):
    heights = []
    for count in (1, 3, MAX_STREAMS, MAX_STREAMS + 5):
        path = tmp_path / f"{count}.png"
        timeline([stream(f"s{i}", i) for i in range(count)], path)
        heights.append(cv2.imread(str(path)).shape[0])
    assert heights[0] < heights[1] < heights[2] == heights[3]


def test_streams_in_which_nothing_happens_can_be_drawn(tmp_path):
    path = tmp_path / "empty.png"
    timeline([Stream("s", (), (), 5)], path)
    assert cv2.imread(str(path)) is not None
