from __future__ import annotations

import numpy as np
import pytest
import torch

from edgenn.train.losses import CrossEntropy
from edgenn.train.mixup import mix


def test_a_mixed_batch_is_two_samples_each_and_so_is_its_loss():
    x = torch.arange(8.0).reshape(8, 1, 1).expand(8, 6, 2)
    batch, loss = mix(x, CrossEntropy(), 1.0, np.random.default_rng(3))
    rng = np.random.default_rng(3)
    rng.random()
    weight, order = rng.random(), rng.permutation(8)
    np.testing.assert_allclose(batch[:, 0, 0], weight * np.arange(8) + (1 - weight) * order, 1e-5)
    logits, target = torch.randn(8, 3, 4), torch.arange(8)[:, None].expand(8, 6) % 4
    plain = CrossEntropy()
    wanted = weight * plain(logits, target, x).total
    wanted += (1 - weight) * plain(logits, target[order], x).total
    assert float(loss(logits, target, batch).total) == pytest.approx(float(wanted), rel=1e-5)


def test_a_batch_that_is_not_mixed_stays_as_it_is():
    x, plain = torch.randn(4, 6, 2), CrossEntropy()
    batch, loss = mix(x, plain, 0.0, np.random.default_rng(0))
    assert batch is x
    assert loss is plain
