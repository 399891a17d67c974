from __future__ import annotations

import pytest

from edgenn.runtime.doctor.software import look, try_import


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that the child can import."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(text, name="probed"):
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_what_is_installed_here_is_imported_and_tried():
    software = look()
    for name in ("numpy", "pydantic", "cv2", "cryptography", "paho"):
        assert software.has(name)
        assert software.get(name).version[0].isdigit()
    assert any("opencv" in name for name in software.get("cv2").distributions)
    assert any(engine.works and engine.version for engine in software.engines)
    if software.has("onnxruntime"):
        assert "CPUExecutionProvider" in software.providers


def test_noise_on_stdout_does_not_hide_the_answer(module):
    said = try_import(module("__version__ = '1.2'\nprint('edgenn-probe')"))
    assert said["version"] == "1.2"
    assert said["file"].endswith("probed.py")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ends the process with SIGILL"),
        ("import os; os._exit(3)", "its import ends with code 3"),
        ("import time; time.sleep(60)", "takes longer than 1 s"),
    ],
)
def test_a_package_that_breaks_is_told_and_breaks_nothing_else(module, text, error):
    assert error in try_import(module(text), patience_s=1.0)["error"]


def test_an_engine_has_to_load_a_model(module):
    # As tflite-runtime beside NumPy 2: it can be imported, and then no model loads.
    text = "def Interpreter(model_content):\n    raise SystemError('no array API')"
    assert try_import(module(text))["error"] == "SystemError: no array API"
