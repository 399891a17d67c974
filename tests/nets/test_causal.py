"""Nets over time: what streams is what the whole recording gives."""

from __future__ import annotations

import pytest
import torch

from edgenn import nets, plugins
from edgenn.nets import NetSpec, crnn, rnn, tcn
from edgenn.nets._causal import Pools

# Nets over video have a file of their own.
FAMILIES = [
    n for n in plugins.names(nets) if plugins.load(nets, n).TASK == "sequence" and n != "videocrnn"
]
POOLS = ("last", "mean", "max")
EXTRA = [
    (rnn, rnn.Config(8, 8, cell="lstm", layers=2, pools=POOLS, limit=5)),
    (crnn, crnn.Config((8, 8), (2, 1), 8, cell="lstm", pools=POOLS)),
    (tcn, tcn.Config(8, (1, 2, 4), stride=1, pools=POOLS, limit=7)),
]
CASES = [(plugins.load(nets, n), plugins.load(nets, n).SIZES["n"]) for n in FAMILIES] + EXTRA


def trained(module, config):
    """A net whose normalisations have seen something."""
    torch.manual_seed(0)
    net = module.build(config, NetSpec(4, window=64, channels=6)).train()
    for _ in range(3):
        net(torch.randn(8, 64, 6) * 2 + 1)
    return net.eval().requires_grad_(False)


def streamed(net, x, chunk):
    memory, given = net.memory(len(x)), []
    for start in range(0, x.shape[1], chunk):
        y, memory = net.stream(x[:, start : start + chunk], memory)
        given.append(y)
    return torch.cat(given, 1)


@pytest.mark.parametrize(("module", "config"), CASES)
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_chunks_in_a_row_give_what_the_whole_gives(module, config, steps):
    net = trained(module, config)
    x = torch.randn(3, 40 * net.step, 6)
    torch.testing.assert_close(streamed(net, x, steps * net.step), net(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("module", "config"), CASES)
def test_nothing_depends_on_what_comes_later(module, config):
    net = trained(module, config)
    x = torch.randn(1, 16 * net.step, 6)
    other = x.clone()
    other[:, 10 * net.step :] = 9.0
    before, after = net(x), net(other)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10:], after[:, 10:])


@pytest.mark.parametrize(("module", "config"), CASES)
def test_a_fresh_memory_forgets_everything(module, config):
    net = trained(module, config)
    x = torch.randn(1, 8 * net.step, 6)
    first = streamed(net, x, net.step)
    streamed(net, torch.randn(1, 8 * net.step, 6) * 5, net.step)
    assert torch.equal(streamed(net, x, net.step), first)


def test_mean_is_that_of_all_steps_and_then_of_the_last_ones():
    pools = Pools(("mean",), 1, limit=4)
    x = torch.tensor([2.0, 4, 6, 8]).reshape(1, 4, 1)
    assert pools(x).flatten().tolist() == [2, 3, 4, 5]
    long = pools(torch.cat([torch.full((1, 500, 1), 7.0), torch.ones(1, 60, 1)], 1))
    assert float(long[0, 499]) == pytest.approx(7, abs=1e-5)
    assert float(long[0, -1]) == pytest.approx(1, abs=1e-5)
