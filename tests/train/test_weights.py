from __future__ import annotations

import pickle

import pytest
import torch

from edgenn.bundle.manifest import ImageInput
from edgenn.errors import ModelError, RecipeError
from edgenn.nets import NetSpec, dscnn
from edgenn.ops.preprocess import Letterbox, Normalize
from edgenn.recipe.schema import Net, Recipe
from edgenn.train import checkpoint
from edgenn.train.build import build_net
from edgenn.train.checkpoint import Header, Progress
from edgenn.train.run import load_run
from edgenn.train.weights import freeze, freeze_norms, load_weights

RECIPE = Recipe.model_validate(
    {
        "name": "shapes",
        "task": "classify",
        "data": {"format": "imagefolder", "path": "x"},
        "net": {"family": "dscnn", "size": "n"},
        "decode": {},
    }
)
INPUT = ImageInput(size=(64, 64), steps=(Letterbox((64, 64)), Normalize((1.0, 2, 3), (4.0, 5, 6))))


def net_of(classes, family="dscnn", size="n"):
    return build_net(Net(family=family, size=size), NetSpec(classes, size=(64, 64)))


def header(labels=("a", "b", "c"), **more):
    return Header(edgenn="0", recipe=RECIPE, input=INPUT, labels=labels, **more)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(1)
    net = net_of(3)
    path = tmp_path / "shapes" / checkpoint.BEST
    metrics = {"main": 0.5, "class/a": 1.0}
    checkpoint.save(
        path,
        header(metric="accuracy", metrics=metrics, data="/there", data_sha256="ab"),
        checkpoint.prefixed(checkpoint.MODEL, net.state_dict()),
    )
    return path, net.eval()


def test_load_run_gives_the_same_net_back(saved):
    path, net = saved
    for given in (path, path.parent):
        run = load_run(given)
        x = torch.randn(2, 3, 64, 64)
        torch.testing.assert_close(run.net(x), net(x), rtol=0, atol=0)
        assert run.path == path.parent
        assert (run.recipe, run.input, run.labels) == (RECIPE, INPUT, ("a", "b", "c"))
        assert (run.outputs, run.metric, run.metrics["main"]) == (("logits",), "accuracy", 0.5)
        assert str(run.data) == "/there"
        assert not run.net.training


def test_progress_survives_to_the_bit(tmp_path):
    progress = Progress(
        epoch=3, batch=7, sums={"loss": 0.1 + 0.2}, history=[{"epoch": 1.0, "loss": float("nan")}]
    )
    checkpoint.save(tmp_path / "x", header(progress=progress), {"a": torch.ones(1)})
    back, _ = checkpoint.read(tmp_path / "x")
    assert back.progress.sums == {"loss": 0.1 + 0.2}
    assert back.progress.history[0]["loss"] != back.progress.history[0]["loss"]
    assert back.input == INPUT


def test_earlier_run_with_other_labels_keeps_its_own_head(saved):
    path, old = saved
    net = net_of(5)
    before = net.head.weight.clone()
    loaded = load_weights(net, path)
    assert set(loaded.skipped) == {"head.weight", "head.bias"}
    assert torch.equal(net.head.weight, before)
    assert torch.equal(net.backbone.features[0][0].weight, old.backbone.features[0][0].weight)
    assert "backbone.features.0.0.weight" in loaded.names
    assert "head.weight" in str(loaded)


def test_backbone_file_loads_by_key_into_any_family_that_has_one(tmp_path):
    torch.manual_seed(2)
    whole = net_of(3, size="mbv2")
    weights = {**whole.backbone.state_dict(), "classifier.1.weight": torch.ones(1000, 1280)}
    torch.save(weights, tmp_path / "mobilenet.pth")
    detector = net_of(2, "anchorfree", "mbv2")
    loaded = load_weights(detector, tmp_path / "mobilenet.pth")
    assert torch.equal(
        detector.backbone.features[13].conv[2].weight, whole.backbone.features[13].conv[2].weight
    )
    assert len(loaded.names) == len(detector.backbone.state_dict())
    assert not loaded.skipped


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.pth", None, "there is no file"),
        ("page.pth", b"<!DOCTYPE html><html>", "web page"),
        ("noise.pth", b"noise" * 100, "not a plain file"),
        ("trap.pth", pickle.dumps({"features.0.0.weight": Trap()}, 2), "not a plain file"),
        ("missing.safetensors", None, "there is no checkpoint"),
        ("noise.safetensors", b"noise" * 100, "not a readable safetensors"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_files_are_refused_in_words(tmp_path, capsys, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=says):
        load_weights(net_of(3), tmp_path / name)
    assert "executed" not in capsys.readouterr().out


def test_weights_of_another_net_are_refused(tmp_path):
    torch.save({"layer.weight": torch.ones(3, 3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="no weight of"):
        load_weights(net_of(3), tmp_path / "other.pth")


def test_foreign_safetensors_and_unfinished_runs_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="not written by edgenn"):
        load_run(tmp_path / "foreign.safetensors")
    with pytest.raises(ModelError, match="--resume"):
        load_run(tmp_path)


def test_weights_that_do_not_fit_their_recipe_are_refused(tmp_path):
    wrong = checkpoint.prefixed(checkpoint.MODEL, net_of(7).state_dict())
    checkpoint.save(tmp_path / checkpoint.BEST, header(), wrong)
    with pytest.raises(ModelError, match="does not fit the network"):
        load_run(tmp_path)


def test_frozen_normalisations_keep_loaded_statistics_and_fresh_ones_learn():
    net = net_of(3)
    norms = {n: m for n, m in net.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    held, *others = norms
    net.train()
    freeze_norms(net, {f"{held}.running_mean"})
    before = {n: m.running_mean.clone() for n, m in norms.items()}
    net(torch.rand(4, 3, 64, 64))
    assert torch.equal(norms[held].running_mean, before[held])
    assert all(not torch.equal(norms[n].running_mean, before[n]) for n in others)


def test_frozen_parts_neither_learn_nor_measure():
    net = net_of(3)
    held = freeze(net, ["backbone"])
    net.train()
    freeze_norms(net, held)
    before = {n: v.clone() for n, v in net.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1)
    net(torch.rand(4, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    changed = {n for n, v in net.state_dict().items() if not torch.equal(v, before[n])}
    assert changed
    assert not any(n.startswith("backbone.") for n in changed)


def test_part_that_is_not_there_cannot_be_frozen():
    with pytest.raises(RecipeError, match="no part 'neck'; its parts are backbone, dropout, head"):
        freeze(net_of(3), ["neck"])
    with pytest.raises(RecipeError, match="no part 'back'"):
        freeze(net_of(3), ["back"])
    with pytest.raises(RecipeError, match="nothing is left to learn"):
        freeze(net_of(3), ["backbone", "head"])


def test_a_video_net_starts_from_a_picture_backbone(saved):
    path, classifier = saved
    like = {"kernel": 3, "stride": 2, "stem": 16, "stages": dscnn.SIZES["n"].stages}
    for motion in (True, False):
        options = {**like, "motion": motion}
        net = build_net(
            Net(family="videocrnn", size="n", options=options), NetSpec(5, size=(64, 64))
        ).eval()
        loaded = load_weights(net, path)
        assert {n for n in classifier.state_dict() if n.startswith("backbone.")} == loaded.names
        # The difference to the frame before weighs nothing yet.
        x = torch.randn(2, 3, 64, 64)
        shown = torch.cat([x, torch.randn(2, 1, 64, 64)], 1) if motion else x
        torch.testing.assert_close(net.backbone(shown)[-1], classifier.backbone(x)[-1])
