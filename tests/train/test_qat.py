from __future__ import annotations

import pytest
import torch
from torch import nn

from edgenn.errors import RecipeError
from edgenn.nets import NetSpec, csp
from edgenn.train.qat import SILU_FLOOR, enable, rounded


def test_rounded_values_lie_on_a_grid_with_zero_and_both_ends():
    x = torch.linspace(-1, 3, 1001)
    y = rounded(x)
    assert len(y.unique()) == 256
    assert (y == 0).any()
    assert float((x - y).abs().max()) <= 4 / 255
    positive = rounded(torch.linspace(2, 3, 50))
    assert float(positive.max()) == pytest.approx(3)
    assert float((positive - torch.linspace(2, 3, 50)).abs().max()) < 3 / 255


def test_gradient_goes_straight_through_above_the_floor():
    x = torch.tensor([-20.0, -1.0, 0.5, 4.0], requires_grad=True)
    y = rounded(x, SILU_FLOOR)
    assert float(y[0].detach()) == pytest.approx(SILU_FLOOR, abs=0.03)
    y.sum().backward()
    assert x.grad.tolist() == [0, 1, 1, 1]


def test_one_outlier_costs_a_net_its_precision_and_training_gets_it_back():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.SiLU(), nn.Conv2d(8, 2, 1))
    with torch.no_grad():
        net[0].weight[0] *= 400
        net[2].weight[:, 0] /= 400
    x = torch.rand(4, 3, 16, 16)
    wanted = net(x).detach()
    enable(net)

    def error():
        return float((net(x) - wanted).square().mean().detach())

    before = error()
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        (net(x) - wanted).square().mean().backward()
        optimizer.step()
    assert before > 1e-4
    assert error() < 0.3 * before


def test_detector_still_runs_and_changes_a_little():
    # In training mode: untrained, its features vanish without normalisation.
    net = csp.build(csp.SIZES["yolox"], NetSpec(2, (64, 64))).train()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        plain = net(x)
        enable(net)
        changed = net(x)
    assert not torch.equal(plain[0], changed[0])
    assert float((plain[0] - changed[0]).abs().mean()) < 0.1


def test_family_without_activations_is_refused():
    with pytest.raises(RecipeError, match=r"train\.qat"):
        enable(nn.GRU(3, 4))
