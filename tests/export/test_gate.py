"""The accuracy gate, on a net that int8 really breaks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from edgenn.bundle.store import open_bundle
from edgenn.data import quiet
from edgenn.data.load import load_dataset
from edgenn.errors import AccuracyError, UnknownNameError, UsageError
from edgenn.export.flow import Options, export
from edgenn.runtime.golden import verify
from edgenn.train.loop import train
from edgenn.train.run import load_run
from edgenn.train.setup import Job


class Fragile(nn.Module):
    """Adds a huge number to the logits and takes it away again: float does not mind, int8 does."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.up, self.down = nn.Conv2d(3, 3, 1, bias=False), nn.Conv2d(3, 3, 1, bias=False)
        with torch.no_grad():
            for conv in (self.up, self.down):
                conv.weight.copy_(torch.eye(3)[..., None, None])
        self.register_buffer("huge", torch.full((1, 3, 1, 1), 100_000.0))

    def forward(self, x):
        lifted = self.up(self.net(x)[..., None, None]) + self.huge
        return (self.down(lifted) - self.huge).flatten(1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, make_recipe, request):
    recipe = make_recipe("classify", request.getfixturevalue("shapes_data"), epochs=10)
    job = Job(recipe, tmp_path_factory.mktemp("runs"), device="cpu")
    run = load_run(train(job).folder)
    return run, load_dataset(run.recipe)


def test_a_variant_that_loses_is_left_out_and_named(trained, tmp_path):
    run, dataset = trained
    fragile = replace(run, net=Fragile(run.net).eval())
    out = tmp_path / "fragile.edgenn"
    outcome = export(fragile, dataset, out, Options(int8=True), quiet)
    passed = {s.variant.file: s.passed for s in outcome.scores}
    assert passed["model.fp32.onnx"]
    assert passed["model.fp32.tflite"]
    assert not passed["model.int8.onnx"]
    with pytest.raises(AccuracyError, match=r"model\.int8\.onnx lost 0\.\d+ accuracy") as error:
        outcome.raise_if_failed()
    assert error.value.exit_code == 10
    assert "by class: " in str(error.value)
    assert "holds the other variants" in str(error.value)

    bundle = open_bundle(out)
    assert [v.file for v in bundle.manifest.variants] == [f for f, good in passed.items() if good]
    assert all(c.status == "pass" for c in verify(out))
    numbers = json.loads(bundle.read("metrics.json"))
    assert numbers["variants"]["model.int8.onnx"]["passed"] is False
    assert "left out" in bundle.read("report.html").decode()


def test_nothing_is_written_where_nothing_passes(trained, tmp_path):
    run, dataset = trained
    out = tmp_path / "none.edgenn"
    # A metric cannot rise by so much, which a negative bound would ask for.
    outcome = export(run, dataset, out, Options(formats=["onnx"], max_drop=-1), quiet)
    assert not out.exists()
    with pytest.raises(AccuracyError, match="Nothing was written"):
        outcome.raise_if_failed()


def test_keep_chooses_what_goes_in(trained, tmp_path):
    run, dataset = trained
    out = tmp_path / "kept.edgenn"
    options = Options(formats=["onnx"], half=True, keep=["model.fp16.onnx"])
    outcome = export(run, dataset, out, options, quiet)
    assert len(outcome.scores) == 2
    assert [v.file for v in open_bundle(out).manifest.variants] == ["model.fp16.onnx"]


def test_wrong_names_are_refused_before_any_work(trained, tmp_path):
    run, dataset = trained
    with pytest.raises(UnknownNameError, match="no format is called 'onx'; did you mean 'onnx'"):
        export(run, dataset, tmp_path / "x", Options(formats=["onx"]), quiet)
    with pytest.raises(UsageError, match=r"--keep: model\.int8\.onnx is not written"):
        export(run, dataset, tmp_path / "x", Options(keep=["model.int8.onnx"]), quiet)
