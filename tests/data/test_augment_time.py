from __future__ import annotations

import numpy as np
import pytest

from edgenn.data.augment_time import disturb, place_window, stretch_time
from edgenn.recipe.schema import Augment

PLAIN = {"jitter": 0, "magnitude": 0}


def test_window_moves_within_its_recording():
    starts = {place_window(32, 50, 20, np.random.default_rng(s)) for s in range(300)}
    assert starts == set(range(22, 43))
    assert {place_window(0, 50, 20, np.random.default_rng(s)) for s in range(300)} == set(range(11))
    assert max(place_window(48, 50, 20, np.random.default_rng(s)) for s in range(300)) == 50


def test_noise_is_in_units_of_each_channel():
    values = np.zeros((4000, 2), np.float32)
    std = np.array([1, 50], np.float32)
    out = disturb(values, Augment(jitter=0.1, magnitude=0), std, np.random.default_rng(0))
    np.testing.assert_allclose(out.std(0), [0.1, 5], rtol=0.1)
    assert out.dtype == np.float32


def test_magnitude_scales_the_window_as_a_whole():
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    factors = []
    for seed in range(50):
        out = disturb(values, Augment(jitter=0, magnitude=0.2), np.ones(3, np.float32),
                      np.random.default_rng(seed))  # fmt: skip
        ratio = out / values
        assert np.ptp(ratio) < 1e-4
        factors.append(ratio[0, 0])
    assert 0.8 <= min(factors) < 0.9
    assert 1.1 < max(factors) <= 1.2


def test_a_slower_clip_is_longer_and_has_the_same_form():
    clip = np.sin(np.linspace(0, 6, 60))[:, None].astype(np.float32)
    slow = stretch_time(clip, Augment(speed=(0.5, 0.5)), np.random.default_rng(0))
    assert len(slow) == 119
    np.testing.assert_allclose(slow[::2], clip, atol=1e-6)
    assert float(slow.max()) == pytest.approx(1, abs=1e-2)


def test_cropping_takes_from_both_ends_and_leaves_the_middle():
    clip = np.arange(100, dtype=np.float32)[:, None]
    rng = np.random.default_rng(0)
    cut = [stretch_time(clip, Augment(crop=0.2), rng)[:, 0] for _ in range(200)]
    assert min(len(c) for c in cut) < 75
    assert {c[0] for c in cut} == set(range(20))
    assert all((np.diff(c) == 1).all() and 50 in c for c in cut)


def test_turning_keeps_the_length_of_each_sensors_vector():
    values = np.random.default_rng(1).standard_normal((50, 6)).astype(np.float32)
    turned = disturb(
        values, Augment(turn=30, **PLAIN), np.ones(6, np.float32), np.random.default_rng(0)
    )
    for part in (slice(0, 3), slice(3, 6)):
        lengths = np.linalg.norm(values[:, part], axis=1)
        np.testing.assert_allclose(np.linalg.norm(turned[:, part], axis=1), lengths, rtol=1e-5)
        cosine = (turned[:, part] * values[:, part]).sum(1) / lengths**2
        assert (cosine > np.cos(np.radians(30)) - 1e-5).all()
    assert not np.allclose(turned, values)


def test_a_lost_reading_repeats_the_last_one():
    values = np.arange(1000, dtype=np.float32)[:, None]
    out = disturb(values, Augment(lose=0.2, **PLAIN), np.ones(1), np.random.default_rng(0))[:, 0]
    kept = out == values[:, 0]
    assert 0.7 < kept.mean() < 0.9
    assert (out[1:][~kept[1:]] == out[:-1][~kept[1:]]).all()


def test_a_path_in_the_plane_is_turned_in_the_plane():
    path = np.random.default_rng(1).standard_normal((20, 2)).astype(np.float32)
    turned = disturb(
        path, Augment(turn=180, **PLAIN), np.ones(2, np.float32), np.random.default_rng(0)
    )
    # Lengths, and which way round it goes, stay.
    np.testing.assert_allclose(np.linalg.norm(turned, axis=1), np.linalg.norm(path, axis=1), 1e-5)
    cross = [a[:-1, 0] * a[1:, 1] - a[:-1, 1] * a[1:, 0] for a in (path, turned)]
    np.testing.assert_allclose(cross[0], cross[1], atol=1e-5)
    assert not np.allclose(turned, path)
