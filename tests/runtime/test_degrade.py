from __future__ import annotations

import logging
from itertools import pairwise

import pytest

from edgenn.runtime.degrade import Governor
from edgenn.runtime.heat import Heat


class Thermometer:
    def __init__(self):
        self.reason = ""

    def read(self):
        return Heat(70.0, self.reason)


class Run:
    """A governor that is fed results whose latency depends on what it allows."""

    def __init__(self, budget=50.0, has_smaller=True):
        self.thermometer = Thermometer()
        self.governor = Governor(budget, has_smaller=has_smaller, thermometer=self.thermometer)
        self.now = 0.0
        self.changes = []

    def go(self, seconds, latency, rate=20.0):
        """Results for so long; ``latency(level)`` in ms, at most ``rate`` a second."""
        end = self.now + seconds
        while self.now < end:
            level = self.governor.level
            self.now += 1 / min(rate, level.max_fps or rate)
            if self.governor.update(self.now, latency(level)):
                self.changes.append((self.now, self.governor.level))

    @property
    def numbers(self):
        return [level.number for _, level in self.changes]


def test_within_the_budget_nothing_changes():
    run = Run()
    run.go(600, lambda level: 45.0)
    assert run.changes == []


def test_one_slow_result_is_no_overload():
    run = Run()
    for _ in range(20):
        run.go(5, lambda level: 30.0)
        run.go(0.04, lambda level: 500.0)
    assert run.changes == []


def test_the_rate_is_lowered_first_and_then_the_model():
    run = Run()
    run.go(60, lambda level: 100.0)
    assert run.numbers == [1, 2, 3, 4, 5]
    levels = [level for _, level in run.changes]
    assert [level.smaller for level in levels] == [False, False, True, True, True]
    assert levels[0].max_fps == pytest.approx(10, rel=0.1)
    assert levels[1].max_fps == pytest.approx(5, rel=0.1)
    assert levels[2].max_fps is None
    assert levels[3].max_fps == pytest.approx(10, rel=0.1)
    assert "longer than the 50 ms of the budget" in levels[0].reason


def test_without_a_smaller_model_it_ends_at_a_quarter_of_the_rate():
    run = Run(has_smaller=False)
    run.go(60, lambda level: 100.0)
    assert run.numbers == [1, 2]


def test_it_stops_where_the_budget_is_kept_and_recovers_when_the_load_is_gone(caplog):
    caplog.set_level(logging.WARNING)
    run = Run()
    run.go(20, lambda level: 100.0 if level.number < 2 else 45.0)
    assert run.numbers == [1, 2]  # 45 ms is no overload, but nothing to build on
    run.go(60, lambda level: 20.0)
    assert run.numbers == [1, 2, 1, 0]
    assert run.governor.level.reason == ""
    assert "back to the model at full rate" in caplog.text


def test_a_step_up_that_fails_is_tried_less_and_less_often():
    run = Run(has_smaller=False)
    run.go(1200, lambda level: 100.0 if level.number == 0 else 20.0)
    ups = [t for t, level in run.changes if level.number == 0]
    pauses = [b - a for a, b in pairwise(ups)]
    assert len(ups) < 10
    assert pauses == sorted(pauses)
    assert pauses[-1] > 200


def test_heat_lowers_the_rate_slowly_and_without_a_budget():
    run = Run(budget=None)
    run.thermometer.reason = "cpu has 81 °C"
    run.go(30, lambda level: 30.0)
    assert run.numbers == [1, 2]
    assert run.governor.level.reason == "cpu has 81 °C"
    run.thermometer.reason = ""
    run.go(60, lambda level: 30.0)
    assert run.governor.level.number == 0


def test_a_few_results_of_a_slow_camera_are_enough():
    run = Run()
    run.go(60, lambda level: 100.0, rate=1.0)
    assert run.numbers[:2] == [1, 2]
