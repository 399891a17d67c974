from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from edgenn.cli import main
from edgenn.recipe.schema import Recipe

RECIPE = """
name: tiny
task: classify
data: {format: imagefolder, path: nowhere}
net: {family: dscnn}
"""


@pytest.fixture
def edgenn(monkeypatch, capsys):
    """Runs the command in this process; gives what it said, and its exit code."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgenn", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return capsys.readouterr(), stopped.value.code

    return run


def without(packages, *arguments):
    """Runs the command in a process of its own, where these packages cannot be imported."""
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in packages)
    script = f"import sys; {blocked}\nfrom edgenn.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def test_help_lists_every_key_without_the_training_packages():
    packages = ("torch", "yaml", "accelerate", "matplotlib")
    told = without(packages, "train", "--help").stdout
    for key in ("data.split.group", "net.weights", "train.class_balance", "export.max_drop"):
        assert key in told
    assert "--resume" in told
    assert "Train a network" in without(packages, "--help").stdout


def test_missing_extra_is_named(recipe):
    done = without(["torch"], "train", recipe)
    assert done.returncode == 3
    assert "pip install 'edgenn[train]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_schema_is_the_recipes(edgenn):
    told, code = edgenn("schema")
    schema = json.loads(told.out)
    assert code == 0
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("arguments", "wanted", "says"),
    [
        (["--set", "train.epoch=3"], 4, "did you mean 'epochs'"),
        (["--set", "net.family=dscn"], 2, "did you mean 'dscnn'"),
        (
            ["--set", "net.family=dscnn", "--set", "decode.confidence=0.3"],
            4,
            "no parameter 'confidence'",
        ),
        (["--epochs", "0"], 4, "train.epochs"),
        (["--batch", "many"], 2, "--batch"),
        ([], 5, "nowhere"),
        (["--data", "elsewhere"], 5, "elsewhere"),
        (["--resume"], 2, "nothing to resume"),
    ],
)
def test_mistakes_get_one_sentence(edgenn, recipe, tmp_path, arguments, wanted, says):
    told, code = edgenn("train", recipe, "--runs", tmp_path / "runs", *arguments)
    assert code == wanted
    assert says in told.err
    assert not (tmp_path / "runs").exists()


def test_name_that_is_taken_is_refused(edgenn, recipe, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    told, code = edgenn("train", recipe, "--runs", tmp_path, "--name", "mine")
    assert code == 2
    assert "exists already" in told.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_refused(edgenn, recipe, tmp_path):
    told, code = edgenn("train", recipe, "--runs", tmp_path, "--device", "cuda")
    assert code == 2
    assert "no CUDA device" in told.err
