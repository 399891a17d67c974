from __future__ import annotations

import numpy as np
import pytest

from edgenn.runtime.sources._clock import DeviceClock


def run(device, arrivals, size=1, **how):
    clock = DeviceClock("wrist", **how)
    parts = [
        clock.map(device[i : i + size], float(arrivals[min(i + size, len(device)) - 1]))
        for i in range(0, len(device), size)
    ]
    return np.concatenate(parts)


@pytest.fixture
def jitter():
    return np.random.default_rng(0).exponential(0.01, 5000)


@pytest.mark.parametrize("size", [1, 5])
def test_steps_stay_even_however_the_readings_arrive(jitter, size):
    device = np.arange(5000) / 50
    out = run(device, device + 1000 + jitter, size)
    assert np.abs(np.diff(out) * 50 - 1).max() < 0.006
    assert np.abs(out[500:] - device[500:] - 1000).max() < 0.003


@pytest.mark.parametrize("drift", [0.997, 1.003])
def test_a_clock_that_runs_wrong_is_followed_for_ever(jitter, drift):
    true = np.arange(5000) / 50
    out = run(true * drift, true + 1000 + jitter)
    assert np.abs(out - true - 1000)[500:].max() < 0.05
    assert np.abs(np.diff(out) * 50 - 1).max() < 0.01


def test_old_readings_of_a_buffer_lie_before_the_newest():
    device = np.arange(100) / 50
    assert np.allclose(DeviceClock("wrist").map(device, 1000.0), 1000 - device[::-1])


@pytest.mark.parametrize("set_to", [0.0, 50.0, 1.7e9])
@pytest.mark.parametrize("size", [1, 8])
def test_a_clock_that_is_set_or_begins_anew_is_mapped_anew(set_to, size):
    true = np.arange(2000) / 50
    device = np.where(true < 20, true + 7, true - 20 + set_to)
    out = run(device, true + 1000, size)
    assert np.all(np.diff(out) >= 0)
    assert np.abs(out - true - 1000).max() < 0.2


def test_a_clock_that_stood_still_in_sleep_is_mapped_anew():
    true = np.concatenate([np.arange(500) / 50, 3600 + np.arange(1000) / 50])
    device = np.arange(1500) / 50
    out = run(device, true + 1000)
    assert np.abs(out - true - 1000)[-300:].max() < 0.05


@pytest.mark.parametrize("speed", [0.0, 0.5, 3.0])
def test_a_replay_keeps_its_steps_and_pauses(speed):
    device = np.concatenate([np.arange(500) / 50, 100 + np.arange(500) / 50])
    arrivals = 1000 + device * speed + 1e-4 * np.arange(1000)
    steps = np.diff(run(device, arrivals, 10, replays=True))
    assert np.abs(steps / np.diff(device) - 1).max() < 0.0051
