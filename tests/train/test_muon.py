from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenn.recipe.schema import Train
from edgenn.train.muon import Muon, orthogonal
from edgenn.train.optim import make_optimizer


@pytest.mark.parametrize("shape", [(8, 72), (72, 8), (16, 16)])
def test_directions_become_equally_long(shape):
    torch.manual_seed(0)
    matrix = torch.randn(shape) * torch.logspace(0, -1.5, shape[1])
    before, values = torch.linalg.svdvals(matrix), torch.linalg.svdvals(orthogonal(matrix))
    assert float(before.max() / before.min()) > 3
    # All but directions in which there was next to nothing.
    assert float(values.quantile(0.1)) > 0.5
    assert float(values.max()) < 1.3


def test_depthwise_kernels_and_normalisations_are_stepped_as_by_adam():
    net = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, groups=8))
    optimizer = make_optimizer(net, Train(optimizer="muon", weight_decay=0.1), ())
    assert isinstance(optimizer, Muon)
    turned = [p for g in optimizer.param_groups if g["muon"] for p in g["params"]]
    assert len(turned) == 1
    assert turned[0] is net[0].weight
    for group in optimizer.param_groups:
        assert (group["weight_decay"] > 0) == all(p.ndim > 1 for p in group["params"])


def test_adam_here_is_the_adam_of_torch():
    torch.manual_seed(0)
    start, target = torch.randn(5), torch.randn(5)
    results = []
    for kind in ("muon", "adamw"):
        parameter = nn.Parameter(start.clone())
        group = {"params": [parameter], "lr": 0.05, "weight_decay": 0.1}
        optimizer = (
            Muon([{**group, "muon": False}]) if kind == "muon" else torch.optim.AdamW([group])
        )
        for _ in range(20):
            optimizer.zero_grad()
            (parameter - target).square().sum().backward()
            optimizer.step()
        results.append(parameter.detach())
    torch.testing.assert_close(results[0], results[1], atol=1e-5, rtol=1e-4)


def test_it_learns():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 4, 3, padding=1))
    x, wanted = torch.randn(8, 3, 8, 8), torch.randn(8, 4, 8, 8) * 0.1
    optimizer = make_optimizer(net, Train(optimizer="muon", lr=0.02), ())
    losses = []
    for _ in range(60):
        loss = (net(x) - wanted).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
