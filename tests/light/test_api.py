from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import edgenn
from edgenn import plugins

HEAVY = (
    "torch",
    "onnx",
    "onnxscript",
    "yaml",
    "matplotlib",
    "accelerate",
    "safetensors",
    "tqdm",
    "litert_torch",
    "ai_edge_quantizer",
)


def test_all_is_the_truth():
    public = {
        name
        for name in dir(edgenn)
        if not name.startswith("_") and not isinstance(getattr(edgenn, name), ModuleType)
    }
    assert sorted(public - {"annotations"}) == edgenn.__all__ == sorted(edgenn.__all__)
    assert all(getattr(edgenn, name).__doc__ for name in edgenn.__all__)


def test_the_package_says_that_it_is_typed():
    assert (Path(edgenn.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("kind", ["detect", "classify", "sequence"])
def test_running_a_model_needs_none_of_the_training_side(
    kind, tiny, clip, pictures, recording, tmp_path
):
    source = {"detect": clip, "classify": pictures, "sequence": recording}[kind]
    out = tmp_path / "o.jsonl"
    program = f"""
import sys
from edgenn.cli import main
sys.argv = ["edgenn", "run", {str(tiny / f"tiny-{kind}.edgenn")!r}, "--source", {str(source)!r},
            "--out", {str(out)!r}]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert lines
    assert all(line["schema"] == 1 for line in lines)


def test_every_device_side_module_imports_alone():
    """Each in this process, but none may pull in what the light install has not.

    A source or output with an extra of its own may, and `edgenn.plugins` knows what to install.
    """
    package = Path(edgenn.__file__).parent
    for part in ("runtime", "bundle", "ops"):
        for path in sorted((package / part).rglob("*.py")):
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            if "engines" in name or path.stem == "__init__":
                continue
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                may = path.parent.name in ("sinks", "sources")
                assert may, error  # noqa: PT017
                assert error.name in plugins.EXTRAS  # noqa: PT017
