from __future__ import annotations

import pytest

from edgenn.errors import DataError
from edgenn.train.loader import Batches


def indices(batches):
    return [[i for _, i in batch] for batch in batches]


def test_every_sample_once_in_another_order_each_epoch():
    batches = Batches(23, 5, seed=0)
    orders = []
    for epoch in range(8):
        batches.epoch = epoch
        assert {e for batch in batches for e, _ in batch} == {epoch}
        flat = [i for batch in indices(batches) for i in batch]
        assert len(flat) == len(set(flat)) == 20
        orders.append(flat)
    assert orders[0] != orders[1] != orders[2]
    assert set().union(*orders) == set(range(23))


def test_skipped_batches_are_the_first_ones():
    batches = Batches(23, 5, seed=0)
    whole = indices(batches)
    batches.skip = 3
    assert indices(batches) == whole[3:]


def test_processes_share_the_samples():
    parts = [indices(Batches(40, 5, 0, rank, 2)) for rank in (0, 1)]
    assert [len(p) for p in parts] == [4, 4]
    flat = [i for part in parts for batch in part for i in batch]
    assert sorted(flat) == list(range(40))
    # Together they see what one process with twice the batch sees in a step.
    alone = indices(Batches(40, 10, 0))
    assert [sorted(a + b) for a, b in zip(*parts, strict=True)] == [sorted(b) for b in alone]


def test_set_smaller_than_a_batch_is_one_batch():
    assert [sorted(b) for b in indices(Batches(3, 8, 0))] == [[0, 1, 2]]


def test_single_sample_is_too_few():
    with pytest.raises(DataError, match="too few"):
        Batches(1, 8, 0)
