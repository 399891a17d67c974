"""Nets over video: what streams is what the whole clip gives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from edgenn.errors import UsageError
from edgenn.nets import NetSpec, videocrnn

TINY = replace(videocrnn.SIZES["n"], stem=8, stages=((1, 8, 1, 2),), embed=8, hidden=8)
CASES = [
    TINY,
    replace(TINY, grey=True, limits=(-0.5, 1.5)),
    replace(TINY, motion=False),
    replace(TINY, grey=True, motion=False, grid=1, cell="lstm"),
    replace(TINY, kernel=3, stride=2, pools=("last", "mean", "max"), limit=3),
]


def trained(config):
    """A net whose normalisations have seen something."""
    torch.manual_seed(0)
    net = videocrnn.build(config, NetSpec(4, size=(32, 48))).train()
    for _ in range(3):
        net(torch.randn(4, 5, 3, 32, 48) * 2 + 1)
    return net.eval().requires_grad_(False)


def streamed(net, x, chunk):
    memory, given = net.memory(len(x)), []
    for part in x.split(chunk, 1):
        y, memory = net.stream(part, memory)
        given.append(y)
    return torch.cat(given, 1)


@pytest.mark.parametrize("config", CASES)
@pytest.mark.parametrize("chunk", [1, 3])
def test_frames_in_a_row_give_what_the_clip_gives(config, chunk):
    net = trained(config)
    x = torch.randn(2, 9, 3, 32, 48)
    torch.testing.assert_close(streamed(net, x, chunk), net(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", CASES)
def test_nothing_depends_on_what_comes_later(config):
    net = trained(config)
    x = torch.randn(1, 8, 3, 32, 48)
    other = x.clone()
    other[:, 5:] = 9.0
    before, after = net(x), net(other)
    torch.testing.assert_close(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5:], after[:, 5:])


def test_a_grey_net_sees_no_colour():
    x = torch.randn(1, 4, 3, 32, 48)
    turned = x[:, :, [1, 2, 0]]
    net = trained(replace(TINY, grey=True))
    torch.testing.assert_close(net(x), net(turned))
    net = trained(TINY)
    assert not torch.allclose(net(x), net(turned))


def test_values_beyond_the_limits_are_cut_to_them():
    x = torch.randn(1, 4, 3, 32, 48) * 4
    net = trained(replace(TINY, limits=(-1, 2)))
    torch.testing.assert_close(net(x), net(x.clamp(-1, 2)))
    assert not torch.allclose(net(x), net(x.clamp(-1, 1)))


def test_only_the_motion_path_remembers_a_frame():
    """Without it, features of a frame are the same whatever came before."""
    x = torch.randn(1, 2, 3, 32, 48)
    for motion in (True, False):
        net = trained(replace(TINY, motion=motion))
        memory = [torch.randn_like(t) if t.ndim == 4 else t for t in net.memory(1)]
        assert torch.equal(net.stream(x, memory)[0], net(x)) != motion


def test_all_sizes_are_small_enough():
    for config in videocrnn.SIZES.values():
        net = videocrnn.build(config, NetSpec(27, size=(128, 128)))
        assert sum(p.numel() for p in net.parameters()) <= 1e6


def test_refuses_what_does_not_fit():
    with pytest.raises(UsageError, match="takes clips of video"):
        videocrnn.build(TINY, NetSpec(4, window=64, channels=6))
    with pytest.raises(UsageError, match=r"grid of 4 does not divide the 4 x 6 features"):
        videocrnn.build(replace(TINY, grid=4), NetSpec(4, size=(32, 48)))
