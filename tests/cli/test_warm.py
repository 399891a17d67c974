from __future__ import annotations

import sys

import onnxruntime as ort
import pytest

from edgenn.cli import main


@pytest.mark.skipif(
    "TensorrtExecutionProvider" in ort.get_available_providers(), reason="has TensorRT"
)
def test_without_tensorrt_the_pip_line_and_its_code(tiny, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["edgenn", "warm", str(tiny / "tiny-detect.edgenn")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    assert "pip install onnxruntime-gpu" in capsys.readouterr().err
