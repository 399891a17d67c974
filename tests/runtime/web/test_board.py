from __future__ import annotations

import numpy as np
import pytest

from edgenn.runtime.web import board
from edgenn.runtime.web.board import Board, read_temperatures
from edgenn.types import Detections, Frame, Result


def result(total: float, scores: tuple[float, ...] = ()) -> Result:
    n = len(scores)
    found = Detections(
        np.zeros((n, 4), np.float32),
        np.array(scores, np.float32),
        np.zeros(n, np.int64),
        ("person",),
    )
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0, "clip")
    return Result(frame, found, (), {"inference": total / 2, "total": total})


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(board, "monotonic", lambda: Clock.now)
    return Clock


def test_a_row_tells_of_the_time_since_the_last_one(clock, tmp_path):
    page = Board(thermal=tmp_path)
    page.add(result(1000))
    clock.now = 101.0
    page.sample()
    for ms, score in ((10, 0.5), (20, 0.9), (30, 0.7)):
        page.add(result(ms, (score, 0.1)))
    clock.now = 103.0
    page.sample()
    clock.now = 104.0
    page.sample()
    _, busy, idle = page.live()["rows"]
    assert busy["t"] == 3.0
    assert busy["rate"] == 1.5
    assert busy["latency"] == {"inference": 10.0, "total": 20.0}
    assert busy["worst"] == 30
    assert busy["scores"] == {"person": 0.9}
    assert (idle["rate"], idle["latency"], idle["scores"], idle["temperature"]) == (0, {}, {}, None)


def test_history_and_events_are_bounded(clock, tmp_path):
    page = Board(thermal=tmp_path)
    for _ in range(500):
        page.add(result(1))
        page.sample()
    assert len(page.live()["rows"]) == 120


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("rtsp://admin:p@ss:w@10.0.0.2:554/live", "rtsp://10.0.0.2:554/live"),
        ("http://cam.lan/a@b", "http://cam.lan/a@b"),
        ("camera:0", "camera:0"),
    ],
)
def test_no_password_of_a_camera_is_shown(source, shown):
    page = Board()
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0.0, 0, source)
    page.add(Result(frame, Detections.empty()))
    assert page.live()["source"] == shown


def test_ready_means_a_result_of_late(clock):
    page = Board()
    assert not page.is_ready()
    page.add(result(1))
    clock.now += 4.9
    assert page.is_ready()
    clock.now += 0.2
    assert not page.is_ready()


def test_temperatures_of_the_zones_that_can_be_read(tmp_path):
    for number, kind, text in (
        (0, "cpu", "48312\n"),
        (1, "cpu", "51000"),
        (2, "broken", "no number"),
        (3, None, "1"),
    ):
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "temp").write_text(text)
        if kind:
            (zone / "type").write_text(f"{kind}\n")
    assert read_temperatures(tmp_path) == {"cpu": 48.3, "cpu 1": 51.0}
    assert read_temperatures(tmp_path / "nowhere") == {}
    page = Board(thermal=tmp_path)
    page.sample()
    assert page.live()["rows"][0]["temperature"] == 51.0
