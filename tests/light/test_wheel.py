from __future__ import annotations

import importlib.metadata
import urllib.request
from pathlib import Path

import edgenn
from edgenn.runtime.files import builtin_dir
from edgenn.runtime.sinks.web import open_sink

ROOT = Path(__file__).resolve().parents[2]


def test_built_in_models_come_with_the_package():
    shipped = {p.relative_to(ROOT / "models") for p in ROOT.glob("models/*/*")}
    assert any(path.suffix == ".edgenn" for path in shipped)
    assert {p.relative_to(builtin_dir()) for p in builtin_dir().glob("*/*")} == shipped


def test_the_version_is_the_one_that_was_installed():
    assert importlib.metadata.version("edgenn") == edgenn.__version__


def test_the_web_page_comes_with_the_package():
    sink = open_sink("0")
    try:
        for path in ("", "page.js", "page.css", "icon.svg"):
            with urllib.request.urlopen(sink.url + path, timeout=5) as answer:
                assert answer.read()
    finally:
        sink.close()
