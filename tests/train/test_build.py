from __future__ import annotations

import pytest
import torch

from edgenn.bundle.manifest import ImageInput, WindowInput
from edgenn.errors import RecipeError, UnknownNameError
from edgenn.nets import NetSpec
from edgenn.ops.preprocess import Letterbox
from edgenn.recipe.schema import Net, Recipe
from edgenn.train import build
from edgenn.train.summary import example, macs, summarize

IMAGE = ImageInput(size=(64, 64), steps=(Letterbox((64, 64)),))
WINDOW = WindowInput(length=64, stride=32, rate=50, channels=("x", "y"))
SPEC = NetSpec(3, size=(64, 64))


def recipe(**net):
    return Recipe.model_validate(
        {
            "name": "r",
            "task": "classify",
            "data": {"format": "imagefolder", "path": "x"},
            "net": net,
            "decode": {},
        }
    )


def test_options_replace_the_numbers_of_the_size():
    plain = build.build_net(Net(family="dscnn", size="n"), SPEC)
    wide = build.build_net(Net(family="dscnn", size="n", options={"width": 2.0}), SPEC)
    assert wide.head.in_features == 2 * plain.head.in_features
    lists = {"stages": [[1, 8, 1, 1], [2, 16, 1, 2]]}
    short = build.build_net(Net(family="dscnn", size="n", options=lists), SPEC)
    assert short.head.in_features == 16


@pytest.mark.parametrize(
    ("net", "says"),
    [
        ({"family": "dscn"}, "did you mean 'dscnn'"),
        ({"family": "dscnn", "size": "xl"}, "no size 'xl'"),
    ],
)
def test_unknown_names_get_the_nearest(net, says):
    with pytest.raises(UnknownNameError, match=says):
        build.build_net(Net(**net), SPEC)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dropuot": 0.1}, "did you mean 'dropout'"),
        ({"dropout": "much"}, "net.options.dropout"),
        ({"stages": [[1, 8]]}, "net.options.stages"),
    ],
)
def test_wrong_options_are_refused_in_words(options, says):
    with pytest.raises(RecipeError, match=says):
        build.build_net(Net(family="dscnn", options=options), SPEC)


def test_family_of_another_task_is_refused():
    with pytest.raises(RecipeError, match="use dscnn"):
        build.check(recipe(family="rnn"))


def test_macs_by_hand():
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.Flatten(), torch.nn.Linear(8 * 32 * 32, 5)
    )
    assert macs(net, example(IMAGE)) == 32 * 32 * 8 * 27 + 8 * 32 * 32 * 5
    assert net.training


def test_summary_of_each_kind_of_net():
    picture = summarize(build.build_net(Net(family="dscnn", size="n"), SPEC), IMAGE)
    assert "M MACs, receptive field of the backbone" in str(picture)
    assert "px at stride 8" in picture.sees
    rnn = build.build_net(Net(family="rnn", size="n"), NetSpec(3, window=64, channels=2))
    window = summarize(rnn, WINDOW)
    assert window.sees == "sees 1.28 s (64 readings)"
    # 16 steps of embedding (8 x 32), of three gates over input and state, and of the head.
    assert window.macs == 16 * (8 * 32 + 2 * 3 * 32 * 32 + 32 * 3)
