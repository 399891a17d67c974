from __future__ import annotations

import numpy as np
import pytest

from edgenn.runtime.health import Health, Histogram


@pytest.mark.parametrize("scale", [0.01, 1.0, 50.0])
def test_percentiles_are_those_of_the_durations_within_a_percent(scale):
    values = np.random.default_rng(0).gamma(3.0, scale, 20_000)
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for q in (50, 95, 99):
        exact = np.percentile(values, q, method="inverted_cdf")
        assert histogram.percentile(q) == pytest.approx(exact, rel=0.0101)


def test_extremes_do_not_break_it():
    histogram = Histogram()
    assert histogram.percentile(50) == 0
    for value in (0.0, -1.0, 1e12):
        histogram.add(value)
    assert histogram.percentile(1) < 0.002
    assert histogram.percentile(99) > 1e5


def test_a_summary_counts_stages_and_results():
    health = Health()
    health.start()
    assert health.summary().fps == 0
    for i in range(100):
        health.add({"inference": 10.0 + (i >= 96), "total": 20.0})
    health.dropped, health.bad, health.gaps = 3, 5, 2
    summary = health.summary()
    assert (summary.frames, summary.dropped) == (100, 3)
    assert (summary.bad, summary.gaps) == (5, 2)
    assert summary.fps == pytest.approx(100 / summary.seconds)
    p50, p95, p99 = summary.latency_ms["inference"]
    assert (p50, p95, p99) == pytest.approx((10, 10, 11), rel=0.011)
    assert list(summary.latency_ms) == ["inference", "total"]


def test_latencies_since_a_moment_are_told_apart_from_those_before():
    health = Health()
    for _ in range(100):
        health.add({"total": 10.0})
    before = health.latency("total")
    for _ in range(30):
        health.add({"total": 40.0})
    since = health.latency("total").since(before)
    assert (len(before), len(since)) == (100, 30)
    assert before.percentile(95) == pytest.approx(10, rel=0.02)
    assert since.percentile(5) == pytest.approx(40, rel=0.02)
    assert len(health.latency("nothing")) == 0
