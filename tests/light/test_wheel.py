from __future__ import annotations

import importlib.metadata
from pathlib import Path

import edgenn
from edgenn.runtime.model import builtin_dir

ROOT = Path(__file__).resolve().parents[2]


def test_built_in_models_come_with_the_package():
    shipped = {p.relative_to(ROOT / "models") for p in ROOT.glob("models/*/*")}
    assert any(path.suffix == ".edgenn" for path in shipped)
    assert {p.relative_to(builtin_dir()) for p in builtin_dir().glob("*/*")} == shipped


def test_the_version_is_the_one_that_was_installed():
    assert importlib.metadata.version("edgenn") == edgenn.__version__
