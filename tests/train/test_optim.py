from __future__ import annotations

import pytest
import torch

from edgenn.recipe.schema import Train
from edgenn.train.optim import Average, make_optimizer, rate, set_rate


def test_rate_rises_then_falls():
    train = Train(lr=0.1, warmup=0.1)
    rates = [rate(train, step, 100) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10] == pytest.approx(0.1)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] > 0
    assert rates[-1] == pytest.approx(0.001, rel=0.1)


def test_no_warmup_begins_at_the_peak():
    assert rate(Train(lr=0.1, warmup=0), 0, 10) == pytest.approx(0.1)


def test_norms_and_biases_do_not_decay_and_loaded_layers_go_slower():
    net = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    train = Train(lr=0.1, backbone_lr=0.1, weight_decay=0.05)
    optimizer = make_optimizer(net, train, {"0.weight"})
    set_rate(optimizer, 0.1)
    found = {
        id(p): (g["lr"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]
    }
    assert found[id(net[0].weight)] == pytest.approx((0.01, 0.05))
    assert found[id(net[0].bias)] == pytest.approx((0.1, 0.0))
    assert found[id(net[1].weight)] == pytest.approx((0.1, 0.0))
    assert len(found) == 4


def test_rate_decays_from_block_to_block_of_what_was_loaded():
    net = torch.nn.ModuleDict(
        {
            "backbone": torch.nn.Sequential(*(torch.nn.Linear(2, 2, bias=False) for _ in range(3))),
            "head": torch.nn.Linear(2, 2, bias=False),
        }
    )
    train = Train(backbone_lr=0.5, layer_decay=0.1, weight_decay=0)
    optimizer = make_optimizer(net, train, {f"backbone.{i}.weight" for i in range(3)})
    found = {id(p): g["factor"] for g in optimizer.param_groups for p in g["params"]}
    factors = [found[id(p)] for p in net.parameters()]
    assert factors == pytest.approx([0.005, 0.05, 0.5, 1.0])


def test_what_is_frozen_is_not_optimised():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    net[0].requires_grad_(False)
    optimizer = make_optimizer(net, Train(), set())
    assert sum(len(g["params"]) for g in optimizer.param_groups) == 2


def test_average_moves_towards_the_net_and_zero_decay_copies_it():
    net = torch.nn.BatchNorm1d(2)
    slow, copy = Average(net, 0.9), Average(net, 0.0)
    with torch.no_grad():
        net.weight.fill_(3.0)
    net(torch.randn(8, 2))
    for step in range(1000, 1002):
        slow.update(net, step)
        copy.update(net, step)
    # Two steps of a tenth of the way from 1 to 3.
    torch.testing.assert_close(slow.net.weight, torch.full((2,), 1 + 2 * (1 - 0.9**2)))
    torch.testing.assert_close(copy.net.state_dict(), net.state_dict(), rtol=0, atol=0)
    assert not slow.net.training


def test_average_is_fast_at_the_start():
    net = torch.nn.Linear(1, 1)
    average = Average(net, 0.999)
    with torch.no_grad():
        net.weight.fill_(5.0)
    for step in range(20):
        average.update(net, step)
    assert float(average.net.weight) == pytest.approx(5.0, abs=0.05)
