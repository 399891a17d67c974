from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from edgenn.recipe.schema import Recipe

RECIPE = """
name: tiny
task: classify
data: {format: imagefolder, path: nowhere}
net: {family: dscnn}
"""


def edgenn(*arguments, code=0, before=""):
    """Run the command as a user does."""
    script = f"import sys; {before}\nfrom edgenn.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def test_help_lists_every_key_without_the_training_packages():
    blocked = "; ".join(
        f"sys.modules[{name!r}] = None" for name in ("torch", "yaml", "accelerate", "matplotlib")
    )
    told = edgenn("train", "--help", before=blocked).stdout
    for key in ("data.split.group", "net.weights", "train.class_balance", "export.max_drop"):
        assert key in told
    assert "--resume" in told
    assert "Train a network" in edgenn("--help", before=blocked).stdout


def test_missing_extra_is_named(recipe):
    told = edgenn("train", recipe, code=3, before="sys.modules['torch'] = None").stderr
    assert "pip install 'edgenn[train]'" in told
    assert "Traceback" not in told


def test_schema_is_the_recipes():
    schema = json.loads(edgenn("schema").stdout)
    assert set(schema["properties"]) == set(Recipe.model_fields)
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--set", "train.epoch=3"], 4, "did you mean 'epochs'"),
        (["--set", "net.family=dscn"], 2, "did you mean 'dscnn'"),
        (["--epochs", "0"], 4, "train.epochs"),
        (["--batch", "many"], 2, "--batch"),
        ([], 5, "nowhere"),
        (["--data", "elsewhere"], 5, "elsewhere"),
        (["--resume"], 2, "nothing to resume"),
    ],
)
def test_mistakes_get_one_sentence(recipe, tmp_path, arguments, code, says):
    told = edgenn("train", recipe, "--runs", tmp_path / "runs", *arguments, code=code).stderr
    assert says in told
    assert "Traceback" not in told
    assert not (tmp_path / "runs").exists()


def test_name_that_is_taken_is_refused(recipe, tmp_path):
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "file").touch()
    told = edgenn("train", recipe, "--runs", tmp_path / "runs", "--name", "mine", code=2).stderr
    assert "exists already" in told


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device here")
def test_cuda_that_is_not_there_is_refused(recipe, tmp_path):
    told = edgenn("train", recipe, "--runs", tmp_path, "--device", "cuda", code=2).stderr
    assert "no CUDA device" in told
