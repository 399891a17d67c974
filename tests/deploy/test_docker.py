from __future__ import annotations

import json
import re
from pathlib import Path

import click
import pytest

from edgenn import plugins
from edgenn.cli.run import command as run

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=["Dockerfile.pi", "Dockerfile.jetson"])
def text(request):
    """A Dockerfile with its lines joined."""
    return (ROOT / "deploy/docker" / request.param).read_text().replace("\\\n", " ")


def instruction(text, name):
    (value,) = re.findall(rf"^{name} (\[.*\])$", text, re.M)
    return json.loads(value)


def test_what_it_runs_is_what_edgenn_takes(text):
    assert instruction(text, "ENTRYPOINT") == ["edgenn"]
    name, *args = instruction(text, "CMD")
    assert name == "run"
    with click.Context(run) as context:
        run.parse_args(context, args)
    # The health check asks the page, and is given no token: it is on 127.0.0.1.
    assert f"http://127.0.0.1:{context.params['web']}/readyz" in text


def test_the_extras_exist_and_only_one_onnx_runtime_is_installed(text):
    (extras,) = re.findall(r"'/src\[([\w,]+)\]'", text)
    assert set(extras.split(",")) <= set(plugins.EXTRAS.values())
    assert {"mqtt", "sign"} <= set(extras.split(","))  # for docs/updates.md
    assert ("onnx" in extras.split(",")) != ("onnxruntime-gpu" in text)


def test_it_does_not_run_as_root_and_keeps_its_files_in_a_volume(text):
    assert re.search(r"^USER edgenn$", text, re.M)
    assert re.search(r"^VOLUME /var/lib/edgenn$", text, re.M)


@pytest.mark.parametrize("name", ["Dockerfile.pi", "Dockerfile.jetson"])
def test_the_context_has_what_the_package_is_built_from(name):
    lines = (ROOT / "deploy/docker" / f"{name}.dockerignore").read_text().splitlines()
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    assert all((ROOT / path).exists() for path in kept)
    build = (ROOT / "pyproject.toml").read_text()
    needed = {"edgenn", "pyproject.toml", *re.findall(r'^readme = "(.+)"', build, re.M)}
    needed |= set(re.findall(r'^license-files = \["(.+)"\]', build, re.M))
    needed |= set(re.findall(r'^(\w+) = "edgenn/models"', build, re.M))
    assert needed <= kept
