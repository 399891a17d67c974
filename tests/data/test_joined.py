"""Streams of recordings that follow one another, as training and measuring see them."""

from __future__ import annotations

import numpy as np
import pytest

from edgenn.data import Dataset, Recording
from edgenn.data.feed import Feed, input_spec

LABELS = ("a", "b", "none")


def clips(lengths=(60, 80, 70, 90), groups=("p", "p", "q", "q")):
    """Clips whose readings tell class (x) and person (y)."""
    made = []
    for k, (length, group) in enumerate(zip(lengths, groups, strict=True)):
        rng = np.random.default_rng(k)
        values = rng.normal(0, 0.1, (length, 2)) + np.array([5.0 * (k % 2), 100.0 * (group == "q")])
        ids = np.full(length, k % 2, np.int64)
        made.append(Recording(f"r{k}", values.astype(np.float32), ids, 50.0, group))
    return made


@pytest.fixture
def feed(recipe):
    def make(recordings, *, train, **sections):
        asked = recipe(
            "npz",
            data={"background": "none"},
            input={"sample": "stream", "window": 200},
            augment={"jitter": 0, "magnitude": 0},
            **sections,
        )
        spec = input_spec(asked, Dataset(LABELS, tuple(recordings), (), ("x", "y"), 50.0))
        return Feed(recordings, asked, spec, train=train), spec

    return make


def test_training_stretches_have_gestures_and_pauses_of_one_person(feed):
    made, spec = feed(clips(), train=True)
    step = spec.steps[0]
    assert len(made) == 4
    for epoch in range(10):
        made.set_epoch(epoch)
        for i in range(len(made)):
            sample = made[i]
            assert sample.x.shape == (200, 2)
            ids = sample.class_ids
            assert {2} <= set(ids.tolist()) <= {-1, 0, 1, 2}
            values = sample.x * step.std + step.mean
            told = ids < 2
            sure = told & (ids >= 0)
            assert np.array_equal((values[sure, 0] > 2.5).astype(int), ids[sure])
            # Nobody's gestures are joined to another person's.
            assert np.ptp(values[:, 1]) < 50


def test_every_recording_is_trained_on_and_long_ones_more_than_once(feed):
    long = clips(lengths=(2000, 80, 70, 90))
    made, _ = feed(long, train=True)
    assert len(made) == 2240 // 200


def test_streams_to_measure_on_never_change_and_ask_for_every_moment(feed):
    made, spec = feed(clips(), train=False)
    again, _ = feed(clips(), train=False)
    assert spec.background == 2
    assert len(made) == 2
    for i in range(2):
        assert np.array_equal(made.raw(i), again.raw(i))
        ids = made.truth(i)[1]
        assert len(ids) == len(made.raw(i))
        runs = ids[np.flatnonzero(np.diff(ids, prepend=-9))]
        # A pause, nothing asked, then the gesture.
        assert sorted(runs[runs >= 0].tolist()) == [0, 1, 2, 2, 2]
        assert (runs[0], runs[-1]) == (2, 2)


def test_what_is_a_stream_already_is_left_alone(feed):
    ids = np.repeat([2, 0, 2, 1, 2], 60)
    values = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
    made, _ = feed([Recording("day", values, ids, 50.0, "p")], train=False)
    assert len(made) == 1
    assert np.array_equal(made.raw(0), values)


def test_a_stream_needs_a_background(recipe):
    with pytest.raises(ValueError, match=r"needs data\.background"):
        recipe("npz", input={"sample": "stream"})
