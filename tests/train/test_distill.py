from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from edgenn.errors import RecipeError
from edgenn.nets import NetSpec
from edgenn.nets._activation import Blend
from edgenn.recipe.schema import Distill, Net
from edgenn.train.build import build_net
from edgenn.train.distill import Teacher
from edgenn.train.losses import Loss

SPEC = NetSpec(1, (64, 64))
CPU = torch.device("cpu")
SILU = {"activation": "silu"}


def _taught(tmp_path: Path, size: str = "n") -> tuple[nn.Module, Teacher]:
    torch.manual_seed(0)
    theirs = build_net(Net(family="csp", size="n", options=SILU), SPEC)
    path = tmp_path / "teacher.pth"
    torch.save(theirs.state_dict(), path)
    net = build_net(Net(family="csp", size=size), SPEC)
    if size == "n":
        net.load_state_dict(theirs.state_dict())
    teaching = Net(family="csp", size="n", weights=str(path), options=SILU)
    return net.eval(), Teacher(Distill(net=teaching, swap=0.5), net, SPEC, CPU)


def test_blend_goes_from_one_activation_to_the_other() -> None:
    x = torch.linspace(-3, 3, 13)
    blend = Blend("relu")
    assert torch.equal(blend(x), functional.relu(x))
    blend.before, blend.share = "silu", 0.0
    assert torch.equal(blend(x), functional.silu(x))
    blend.share = 0.5
    assert torch.allclose(blend(x), (functional.silu(x) + functional.relu(x)) / 2)


def test_net_begins_as_its_teacher_and_ends_with_its_own_activation(tmp_path: Path) -> None:
    net, teacher = _taught(tmp_path)
    x = torch.rand(2, 3, 64, 64)
    errors = []
    for position in (0.0, 0.25, 0.5, 1.0):
        teacher.advance(position)
        net(x)
        errors.append(float(teacher.add(Loss(torch.zeros(()), {}), x).parts["hint"]))
    assert errors[0] < 1e-10
    assert errors[0] < errors[1] < errors[2] == errors[3]


def test_hint_moves_the_net_and_leaves_the_teacher(tmp_path: Path) -> None:
    net, teacher = _taught(tmp_path)
    teacher.advance(1.0)
    x = torch.rand(2, 3, 64, 64)
    net(x)
    teacher.add(Loss(torch.zeros(()), {}), x).total.backward()
    assert net.get_parameter("backbone.stem.0.weight").grad is not None
    assert all(p.grad is None for p in teacher.net.parameters())


def test_refuses_a_teacher_of_other_widths(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="same widths"):
        _taught(tmp_path, "s")


def test_refuses_a_family_without_hints(tmp_path: Path) -> None:
    net = build_net(Net(family="anchorfree", size="n"), SPEC)
    path = tmp_path / "weights.pth"
    torch.save(net.state_dict(), path)
    teaching = Net(family="anchorfree", size="n", weights=str(path))
    with pytest.raises(RecipeError, match="names no hints"):
        Teacher(Distill(net=teaching), net, SPEC, CPU)
