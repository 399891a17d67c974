from __future__ import annotations

from time import perf_counter

import numpy as np
import pytest

from edgenn.data import Recording
from edgenn.data.streams import join, join_groups

RATE = 50.0
BIAS = np.array([0.5, -1.0, 0.0])


def clip(seed: int, cut_in_motion: bool = False) -> np.ndarray:
    """A second of wrist: gravity that turns a little, and a gyroscope that begins and ends still.

    Six channels, the last three at `BIAS` where the wrist is at rest.
    """
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, 60)[:, None]
    hump = np.sin(np.pi * t) ** 2
    gravity = np.array([0.0, 0.0, 1.0]) + rng.normal(0, 0.1, 3)
    accelerometer = gravity + hump * rng.normal(0, 0.5, 3)
    gyroscope = BIAS + hump * np.sin(9 * t) * rng.uniform(100, 200, 3)
    values = np.hstack([accelerometer, gyroscope])
    return (values[:40] if cut_in_motion else values).astype(np.float32)


PARTS = [clip(i) for i in range(6)]


def joined(seed=0, parts=PARTS, **options):
    ids = list(range(len(parts)))
    return join(parts, ids, 99, RATE, np.random.default_rng(seed), **options)


def pauses(values, ids):
    cuts = np.flatnonzero(np.diff(ids)) + 1
    return [
        p for p, i in zip(np.split(values, cuts), np.split(ids, cuts), strict=True) if i[0] == 99
    ]


def test_every_clip_is_there_unchanged_with_pauses_of_the_wanted_length_around():
    values, ids = joined(pause=(0.5, 2.0))
    assert values.dtype == np.float32
    assert ids.dtype == np.int64
    assert len(values) == len(ids)
    for i, part in enumerate(PARTS):
        assert np.array_equal(values[ids == i], part)
    found = pauses(values, ids)
    assert len(found) == len(PARTS) + 1
    assert ids[0] == ids[-1] == 99
    assert all(24 <= len(p) <= 101 for p in found)
    assert len({len(p) for p in found}) > 3


def test_the_generator_decides_everything():
    assert np.array_equal(joined(3)[0], joined(3)[0])
    assert not np.array_equal(joined(3)[1], joined(4)[1])
    before = [part.copy() for part in PARTS]
    joined()
    assert all(np.array_equal(a, b) for a, b in zip(PARTS, before, strict=True))


def test_pauses_are_at_rest_where_a_wrist_would_be():
    values, ids = joined(pause=(2.0, 3.0), motion=0.0)
    std = np.concatenate(PARTS).std(axis=0)
    for p in pauses(values, ids):
        assert np.abs(p[:, 3:] - BIAS).max() < 0.5 * std[3:].min()
        assert np.linalg.norm(p[:, :3], axis=1) == pytest.approx(1.0, abs=0.45)
        assert (p.std(axis=0) > 0).all()  # never frozen, which no sensor is


def test_there_is_no_jump_between_clip_and_pause():
    values, ids = joined(motion=1.0)
    std = np.concatenate(PARTS).std(axis=0)
    seams = np.flatnonzero(np.diff(ids))
    jumps = np.abs(values[seams + 1] - values[seams]) / std
    assert jumps.max() < 0.5


def test_a_clip_cut_in_full_motion_comes_to_rest():
    parts = [clip(i) for i in range(5)]
    parts[2] = clip(2, cut_in_motion=True)
    assert np.abs(parts[2][-1, 3:] - BIAS).max() > 20
    values, ids = joined(parts=parts, pause=(2.0, 3.0), motion=0.0)
    after = pauses(values, ids)[3]
    assert np.abs(after[50:, 3:] - BIAS).max() < 0.5 * np.concatenate(parts).std(axis=0)[3:].min()


def test_motion_that_is_no_gesture_is_in_the_wanted_share_of_pauses():
    parts = PARTS * 20
    std = np.concatenate(PARTS).std(axis=0)

    def moving(share):
        found = pauses(*joined(parts=parts, pause=(2.0, 3.0), motion=share))
        return np.mean(
            [(np.abs(p[:, 3:] - np.median(p[:, 3:], 0)) > 0.2 * std[3:]).any() for p in found]
        )

    assert moving(0.0) < 0.05
    assert 0.3 < moving(0.5) < 0.7
    assert moving(1.0) > 0.8


def test_noise_is_relative_to_each_channel():
    parts = [np.hstack([part[:, :5], np.full((60, 1), 7, np.float32)]) for part in PARTS]
    values, ids = joined(parts=parts, motion=0.0, noise=0.1)
    still = np.concatenate([np.diff(p, axis=0) for p in pauses(values, ids)])
    std = np.concatenate(parts).std(axis=0)
    assert still[:, 3:5].std(axis=0) / std[3:5] == pytest.approx([0.14, 0.14], abs=0.03)
    assert (values[:, 5] == 7).all()  # a channel that says nothing goes on saying nothing


def test_one_clip_of_one_reading_will_do():
    values, ids = joined(parts=[PARTS[0][:1]])
    assert np.isfinite(values).all()
    assert (ids == 0).sum() == 1


def test_joining_is_fast_enough_to_do_it_in_training():
    parts = [clip(i) for i in range(3)]
    best = np.inf
    for seed in range(30):
        start = perf_counter()
        values, _ = joined(seed, parts)
        best = min(best, (perf_counter() - start) * 500 / len(values))
    assert best < 3e-3  # 10 seconds of 50 Hz; under 1 ms on a machine that does nothing else


def recordings():
    return [
        Recording(f"{p}-{i}", clip(10 * p + i), np.full(60, i, np.int64), RATE, f"p{p}")
        for p in (2, 1)
        for i in range(4)
    ]


def test_each_person_becomes_one_stream_in_random_order():
    streams = join_groups(recordings(), background=9, seed=1)
    assert [s.group for s in streams] == ["p1", "p2"]
    orders = []
    for person, stream in zip((1, 2), streams, strict=True):
        ids = stream.class_ids
        orders.append([int(ids[i + 1]) for i in np.flatnonzero(np.diff(ids)) if ids[i + 1] != 9])
        assert sorted(orders[-1]) == [0, 1, 2, 3]
        for i in range(4):
            assert np.array_equal(stream.values[ids == i], clip(10 * person + i))
    assert orders != [[0, 1, 2, 3]] * 2


def test_streams_depend_on_the_seed_and_not_on_the_order_of_files():
    first, second = join_groups(recordings(), 9, 5), join_groups(recordings()[::-1], 9, 5)
    other = join_groups(recordings(), 9, 6)
    for a, b, c in zip(first, second, other, strict=True):
        assert np.array_equal(a.values, b.values)
        assert not np.array_equal(a.class_ids, c.class_ids)


def test_readings_keep_their_own_classes():
    mixed = np.array([0] * 20 + [-1] * 20 + [2] * 20, np.int64)
    (stream,) = join_groups([Recording("a", PARTS[0], mixed, RATE, "p")], background=9)
    assert np.array_equal(stream.class_ids[stream.class_ids != 9], mixed)
