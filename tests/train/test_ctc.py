from __future__ import annotations

import numpy as np
import pytest
import torch

from edgenn.ops.decode.classes import softmax
from edgenn.train.ctc import Ctc
from edgenn.train.evaluate import ORDER, evaluate
from edgenn.train.order import edits, gestures
from edgenn.types import Steps

LABELS = ("a", "b", "none")


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        ([2, 2, -1, 0, 0, 2], [0]),
        ([2, -1, 0, -1, 0, 2], [0, 0]),
        ([-1, -1, 2, 2], []),
        ([1, 2, -1, 0], [1, 0]),
    ],
)
def test_every_run_that_is_asked_for_is_a_gesture(ids, found):
    assert gestures(np.array(ids), 2).tolist() == found


@pytest.mark.parametrize(
    ("a", "b", "count"),
    [([], [], 0), ([1, 2], [], 2), ([1, 2, 3], [1, 3], 1), ([1, 2], [2, 1], 2), ([1], [1, 1], 1)],
)
def test_edits(a, b, count):
    assert edits(a, b) == edits(b, a) == count


def test_a_net_learns_the_order_of_gestures_without_their_times():
    """Two pulses, of either sign; only their order is told."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.1, (64, 40, 1)).astype(np.float32)
    ids = np.full((64, 40), 2, np.int64)
    for row in range(64):
        for at in (rng.integers(2, 12), rng.integers(22, 32)):
            sign = int(rng.integers(0, 2))
            x[row, at : at + 5] += 2 * sign - 1
            # Where it is said to be is not where it is: only the order can teach.
            ids[row, at // 20 * 20 + 3 : at // 20 * 20 + 6] = sign
    net = torch.nn.GRU(1, 16, batch_first=True)
    head = torch.nn.Linear(16, 3)
    optimizer = torch.optim.Adam([*net.parameters(), *head.parameters()], 0.02)
    loss = Ctc(2)
    for _ in range(250):
        value = loss(head(net(torch.from_numpy(x))[0]), torch.from_numpy(ids), None).total
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        logits = head(net(torch.from_numpy(x))[0]).numpy()

    class Truth:
        def __len__(self):
            return 64

        def truth(self, i):
            return np.zeros((0, 4), np.float32), ids[i]

    def predict(i):
        return Steps(np.arange(40), softmax(logits[i]), LABELS)

    metrics = evaluate("sequence", predict, Truth(), LABELS, blank=2)
    assert metrics.name == ORDER
    assert metrics.main > 0.95
