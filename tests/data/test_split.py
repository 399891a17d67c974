from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from edgenn.data import Picture
from edgenn.data.split import split
from edgenn.errors import DataError
from edgenn.recipe.schema import Split


def picture(i, group, classes=(0,), side=""):
    ids = np.array(classes, np.int64)
    return Picture(Path(f"{i:04}.jpg"), ids, np.zeros((len(ids), 4), np.float32), group, side)


def people(count=10, each=12, classes=3):
    return [picture(100 * g + k, f"p{g}", [k % classes]) for g in range(count) for k in range(each)]


def names(samples):
    return [s.path.name for s in samples]


def test_a_group_is_never_on_both_sides_and_the_share_is_kept():
    train, val = split(people(), Split(val=0.2), 0, 3)
    assert not {s.group for s in train} & {s.group for s in val}
    assert len({s.group for s in val}) == 2
    assert len(train) + len(val) == 120


def test_depends_on_seed_and_names_alone():
    samples = people()
    val = split(samples, Split(val=0.3), 7, 3)[1]
    assert names(split(samples, Split(val=0.3), 7, 3)[1]) == names(val)
    assert sorted(names(split(samples[::-1], Split(val=0.3), 7, 3)[1])) == sorted(names(val))
    others = [tuple(names(split(samples, Split(val=0.3), seed, 3)[1])) for seed in range(8)]
    assert len(set(others)) > 3


def test_by_sample_keeps_the_proportions_of_classes():
    samples = [picture(i, "one", [0] if i % 10 else [1]) for i in range(400)]
    val = split(samples, Split(by="sample", val=0.25), 0, 2)[1]
    counts = Counter(int(s.class_ids[0]) for s in val)
    assert counts == {0: 90, 1: 10}


def test_groups_of_unlike_size_and_content_come_near_the_share():
    rng = np.random.default_rng(0)
    samples = [
        picture(100 * g + k, f"g{g}", rng.integers(0, 4, rng.integers(0, 5)))
        for g in range(40)
        for k in range(rng.integers(1, 12))
    ]
    train, val = split(samples, Split(val=0.2), 0, 4)
    assert 0.15 < len(val) / (len(train) + len(val)) < 0.25
    boxes = np.bincount(np.concatenate([s.class_ids for s in samples]))
    in_val = np.bincount(np.concatenate([s.class_ids for s in val]), minlength=4)
    assert (abs(in_val / boxes - 0.2) < 0.1).all()


def test_two_unlike_groups_are_still_divided():
    samples = [picture(i, "big" if i < 90 else "small") for i in range(100)]
    train, val = split(samples, Split(val=0.4), 0, 1)
    assert {s.group for s in train} == {"big"}
    assert {s.group for s in val} == {"small"}


def test_by_name():
    train, val = split(people(), Split(val=["p3", "p7"]), 0, 3)
    assert {s.group for s in val} == {"p3", "p7"}
    assert len(train) == 96


def test_given():
    samples = [picture(i, "g", side=side) for i, side in enumerate(["val", "train", "", "val"])]
    train, val = split(samples, Split(by="given"), 0, 1)
    assert (names(train), names(val)) == (["0001.jpg", "0002.jpg"], ["0000.jpg", "0003.jpg"])


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (Split(val=["p33"]), "no group 'p33'; did you mean 'p3'"),
        (Split(val=["anna"]), "no group 'anna'; there is p0, p1"),
        (Split(val=0.0), "no samples to validate on"),
        (Split(val=1.0), "no samples to train on"),
        (Split(val=[f"p{i}" for i in range(10)]), "no samples to train on"),
        (Split(by="given"), "names no samples to validate on"),
    ],
)
def test_what_cannot_be_divided(spec, reason):
    with pytest.raises(DataError, match=reason):
        split(people(), spec, 0, 3)


def test_one_group_cannot_be_divided():
    with pytest.raises(DataError, match=r"in 1 groups and data\.split\.val is 0\.2"):
        split([picture(i, "only") for i in range(20)], Split(val=0.2), 0, 1)
