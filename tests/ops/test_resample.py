from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.resample import (
    Resampler,
    averages,
    longest_pause,
    measured_rate,
    resample,
    runs_at,
)
from edgenn.types import Samples


def clock(rate, seconds, jitter=0.0, seed=0, start=100.0):
    rng = np.random.default_rng(seed)
    n = int(rate * seconds)
    return np.sort(start + (np.arange(n) + rng.uniform(-jitter, jitter, n)) / rate)


def wave(times):
    return np.stack([np.sin(2 * np.pi * times), np.cos(3 * times), times * 0 + 9.81], 1)


@pytest.mark.parametrize("rate", [46, 104, 5, 50])
def test_the_signal_is_kept(rate):
    times = clock(rate, 12, 0.3)
    values, out = resample(wave(times), times, 50)
    assert values.dtype == np.float32
    assert np.allclose(np.diff(out), 0.02)
    assert out[0] == times[0]
    assert times[-1] - out[-1] < 0.0201
    late = 0.01 if rate == 104 else 0.0  # the mean over an interval is half of one late
    error = np.abs(values - wave(out - late))[1:].max()
    assert error < {46: 0.02, 104: 0.02, 5: 0.5, 50: 0.02}[rate]


@pytest.mark.parametrize("rate", [46, 104, 230, 5])
def test_chunks_change_no_bit(rate):
    times = np.round(clock(rate, 10, 0.4), 3)
    values = np.random.default_rng(1).normal(0, 5, (len(times), 2)).astype(np.float32)
    whole, at = resample(values, times, 50)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cuts = [0, *np.sort(rng.integers(0, len(times), rng.integers(1, 200))), len(times)]
        stream = Resampler(50, 2, average=averages(times, 50))
        parts = [stream.push(Samples(values[a:b], times[a:b], "s")) for a, b in pairwise(cuts)]
        assert np.concatenate([p.values for p in parts]).tobytes() == whole.tobytes()
        assert np.concatenate([p.times for p in parts]).tobytes() == at.tobytes()
        assert parts[0].source == "s"


def test_memory_is_constant():
    stream = Resampler(50, 1, average=True)
    for i in range(300):
        times = (np.arange(10) + 10 * i) / 104
        stream.push(Samples(np.ones((10, 1), np.float32), times))
    kept = [a for a in vars(stream).values() if isinstance(a, np.ndarray)]
    assert sum(a.size for a in kept) < 10
    assert all(a.base is None for a in kept)


def test_readings_at_the_rate_come_out_as_they_went_in():
    times = np.arange(500) / 50 + 1e6
    values = np.random.default_rng(0).normal(size=(500, 2)).astype(np.float32)
    out, at = resample(values, times, 50)
    assert len(out) == 500
    assert np.allclose(out, values, atol=1e-5)
    assert np.allclose(at, times)


def test_vibration_does_not_fold_down():
    times = np.arange(2000) / 200
    hum = np.sin(2 * np.pi * 52 * times)[:, None]  # would be 2 Hz at 50
    out, _ = resample(hum, times, 50)
    picked = hum[::4]
    assert out[2:].std() < 0.2 * picked.std()


def test_equal_times_and_single_readings():
    times = np.array([0.0, 0.0, 0.02, 0.02, 0.04])
    values, out = resample(np.arange(5.0)[:, None], times, 50)
    assert np.isfinite(values).all()
    assert len(out) == 3
    values, out = resample(np.ones((1, 1)), np.array([3.0]), 50)
    assert values.tolist() == [[1.0]]
    stream = Resampler(50, 1)
    assert not len(stream.push(Samples(np.zeros((0, 1), np.float32), np.zeros(0))).times)


def test_reset_forgets_everything():
    stream = Resampler(50, 1, average=True)
    first = Samples(np.ones((200, 1), np.float32), np.arange(200) / 104)
    before = stream.push(first)
    stream.reset()
    after = stream.push(first)
    assert after.values.tobytes() == before.values.tobytes()


def test_other_channels_are_refused():
    with pytest.raises(ModelError, match="takes 2 channels per reading, the sensor gives 3"):
        Resampler(50, 2).push(Samples(np.zeros((1, 3), np.float32), np.zeros(1)))


@pytest.mark.parametrize(
    ("times", "runs"),
    [
        (clock(50, 3), True),
        (clock(50, 3, 0.1), True),
        (clock(50.5, 3), True),
        (clock(51.5, 3), False),
        (clock(46, 3), False),
        (clock(104, 3), False),
        (clock(50, 3, 0.45), False),
        (np.round(clock(50, 3), 2), True),
        (np.repeat(clock(5, 3), 10), False),  # bursts of ten
        (np.delete(clock(50, 3), [20, 40]), True),  # two lost readings
        (np.array([1.0]), True),
        (np.zeros(5), True),
    ],
)
def test_what_runs_at_50(times, runs):
    assert runs_at(times, 50) == runs


def test_rates_and_pauses():
    assert measured_rate(np.round(clock(104, 5), 3)) == pytest.approx(104, rel=0.01)
    assert measured_rate(np.repeat(clock(5, 9), 10)) == pytest.approx(50, rel=0.05)
    assert longest_pause(clock(104, 5), 50) == pytest.approx(0.05)
    assert longest_pause(clock(5, 5), 50) == pytest.approx(0.5)
    assert averages(clock(104, 2), 50)
    assert not averages(clock(60, 2), 50)
