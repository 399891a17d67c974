from __future__ import annotations

import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgenn import plugins
from edgenn.errors import MissingExtraError, UnknownNameError
from edgenn.runtime import engines

PACKAGES = [
    "edgenn.cli",
    "edgenn.data.readers",
    "edgenn.nets",
    "edgenn.ops.decode",
    "edgenn.runtime.engines",
    "edgenn.runtime.sinks",
    "edgenn.runtime.sources",
    "edgenn.runtime.temporal",
]


@pytest.mark.parametrize("name", PACKAGES)
def test_names_are_the_files_and_none_is_imported(name):
    script = (
        "import importlib, sys; from edgenn import plugins\n"
        f"package = importlib.import_module({name!r}); before = set(sys.modules)\n"
        "found = plugins.names(package)\n"
        "assert set(sys.modules) == before, set(sys.modules) - before\n"
        "print(*found)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    folder = Path(importlib.import_module(name).__file__).parent
    files = sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_"))
    assert files
    assert done.stdout.decode().split() == files


def test_load_imports_one_plug_in_and_no_other():
    script = (
        "import sys; from edgenn import plugins; from edgenn.runtime import engines\n"
        "plugins.load(engines, 'onnx')\n"
        "assert 'edgenn.runtime.engines.onnx' in sys.modules\n"
        "assert 'edgenn.runtime.engines.litert' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("onx", "did you mean 'onnx'?"), ("zzz", "there is litert, onnx"), ("../onnx", "onnx")],
)
def test_an_unknown_name_is_answered_with_the_nearest(typed, hint):
    with pytest.raises(UnknownNameError, match=re.escape(hint)) as caught:
        plugins.load(engines, typed)
    assert str(caught.value).startswith(f"no engine is called {typed!r}; ")


def test_shared_code_is_no_plug_in():
    from edgenn.ops import decode

    assert "_params" not in plugins.names(decode)
    with pytest.raises(UnknownNameError):
        plugins.load(decode, "_params")


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "edgenn.runtime.engines.onnx", raising=False)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError) as caught:
        plugins.load(engines, "onnx")
    sentence = "engines/onnx needs the package 'onnxruntime': pip install 'edgenn[onnx]'"
    assert str(caught.value) == sentence


def test_a_missing_package_of_no_extra_is_named_itself():
    error = plugins.missing_extra(ModuleNotFoundError("no", name="acme.deep"), "sinks/acme")
    assert str(error) == "sinks/acme needs the package 'acme': pip install acme"


def test_a_pip_line_brings_the_package_that_was_missing():
    required = importlib.metadata.requires("edgenn")
    provided_by = importlib.metadata.packages_distributions()
    for module, extra in plugins.EXTRAS.items():
        distribution = provided_by[module][0].lower().replace("_", "-")
        in_extra = re.compile(rf"{distribution}\b.*extra == ['\"]{extra}['\"]")
        assert any(in_extra.match(line.lower()) for line in required), (module, extra)
