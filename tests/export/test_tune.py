from __future__ import annotations

import numpy as np
import pytest

from edgenn.bundle.store import open_bundle
from edgenn.data import Recording, quiet
from edgenn.errors import DataError, UsageError
from edgenn.export.streams import Scores, replay
from edgenn.export.tune import Limits, streams_to_tune, tune
from edgenn.train.events import Stream, measure
from edgenn.types import Event, Window

LABELS = ("low", "middle", "high")


@pytest.fixture(scope="module")
def manifest(tiny):
    kept = open_bundle(tiny / "tiny-sequence.edgenn").manifest
    stage = {"smoothing": {"alpha": 0.6, "ignore": ["middle"]}}
    return kept.model_copy(update={"temporal": stage})


def scores(seed: int, seconds: int = 120) -> Scores:
    """What a net with ten labels a second says of gestures of 2 seconds, with blips and dips.

    "high" is never said with more than 0.7, and blips of "low" reach 0.9.
    """
    rng = np.random.default_rng(seed)
    count = seconds * 10
    ids = np.ones(count, np.int64)
    values = np.full((count, 3), 0.02, np.float32)
    for start in range(30, count - 60, 60):
        label = int(rng.choice([0, 2]))
        at = start + int(rng.integers(0, 15))
        ids[at : at + 20] = label
        values[at + 3 : at + 22, label] = 0.65 if label == 2 else 0.95
        values[at + 9 : at + 11, label] = 0.45
        blip = at + 28
        values[blip : blip + 2, 0] = 0.9
    values[:, 1] = 1 - values[:, 0] - values[:, 2]
    values = np.clip(values + rng.normal(0, 0.02, values.shape), 0, 1).astype(np.float32)
    empty = np.zeros((0, 2), np.float32)
    items = tuple(Window(empty, i / 10, (i + 1) / 10, i) for i in range(count))
    return Scores(Recording(f"r{seed}", np.zeros((count, 2)), ids, 10.0, "g"), items, values)


@pytest.fixture(scope="module")
def tuned(manifest):
    return tune(manifest, [scores(1, 40)], Limits(), quiet)


def on_others(manifest, stages):
    return measure([replay(manifest, scores(seed), stages) for seed in (11, 12)])


def test_what_is_found_is_better_on_streams_that_were_not_seen(manifest):
    found = tune(manifest, [scores(1, 60), scores(2, 60)], Limits(), quiet)
    assert found.better
    assert found.after.f1 > found.before.f1 + 0.3
    assert found.after.false_alarms <= 6
    assert on_others(manifest, manifest.temporal).f1 < 0.5
    assert on_others(manifest, found.temporal).f1 > 0.9
    assert list(found.temporal) == ["gestures"]
    assert found.params["background"] == ["middle"]


def test_the_same_data_gives_the_same_parameters_and_figures(manifest, tuned):
    assert tune(manifest, [scores(1, 40)], Limits(), quiet) == tuned
    again = measure([replay(manifest, scores(1, 40), tuned.temporal)])
    assert again == tuned.after


def test_tuning_again_starts_from_what_is_there(manifest, tuned):
    before = manifest.model_copy(update={"temporal": tuned.temporal})
    again = tune(before, [scores(1, 40)], Limits(), quiet)
    assert again.before == tuned.after
    assert Limits().rate(again.after) >= Limits().rate(tuned.after)


def test_limits_come_before_f1():
    good = measure([replay_of(right=5, wrong=2)])
    strict, loose = Limits(false_alarms=60), Limits(false_alarms=1000)
    poor = measure([replay_of(right=2, wrong=0)])
    assert loose.rate(good) > loose.rate(poor)
    assert strict.rate(good) < strict.rate(poor)
    assert strict.keeps(poor)
    assert not strict.keeps(good)
    late = Limits(delay_ms=100)
    assert not late.keeps(poor)
    assert late.rate(poor) < late.rate(measure([replay_of(right=0, wrong=0)]))


def replay_of(right: int, wrong: int):
    truth = tuple(Event("low", 10.0 * i, 10.0 * i + 2, 1.0) for i in range(5))
    found = [(e, e.end + 0.5) for e in truth[:right]]
    found += [(Event("high", 10.0 * i + 5, 10.0 * i + 7, 1.0), 0.0) for i in range(wrong)]
    return Stream("s", truth, tuple(found), 60.0)


def clip(class_id: int) -> Recording:
    return Recording("c", np.zeros((40, 2), np.float32), np.full(40, class_id), 20.0, "g")


def test_it_says_what_cannot_be_tuned(manifest, tiny):
    pictures = open_bundle(tiny / "tiny-detect.edgenn").manifest
    with pytest.raises(UsageError, match="for sequence models; tiny-detect is a detect model"):
        streams_to_tune(pictures, [], join=False)
    ctc = manifest.model_copy(update={"temporal": {"ctc": {"blank": "middle"}}})
    with pytest.raises(UsageError, match="finds events by ctc"):
        streams_to_tune(ctc, [clip(0)], join=False)
    with pytest.raises(DataError, match="no validation recordings"):
        streams_to_tune(manifest, [], join=False)
    plain = manifest.model_copy(update={"temporal": {}})
    with pytest.raises(DataError, match="add --join"):
        streams_to_tune(plain, [clip(0), clip(2)], join=False)
    silent = Scores(clip(1), (), np.zeros((0, 3), np.float32))
    with pytest.raises(DataError, match="no event"):
        tune(manifest, [silent], Limits(), quiet)
