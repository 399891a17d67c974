from __future__ import annotations

import sys

import pytest

from edgenn.cli import main
from edgenn.deploy.rollout import Outcome, Rollout


@pytest.fixture
def fault(monkeypatch, capsys):
    """Exit code and last line of ``edgenn deploy``, which reaches no device."""

    def fault(*arguments):
        monkeypatch.setattr(sys, "argv", ["edgenn", "deploy", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code, capsys.readouterr().err.strip().splitlines()[-1]

    return fault


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "edgenn-0.1.0-py3-none-any.whl"
    path.write_bytes(b"PK\5\6" + bytes(18))  # an empty zip
    return path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["a", "a"], "edgenn: a host is named twice"),
        (["a", "--service"], "edgenn: a service needs --camera, --source or --sensor"),
        (["a", "--", "--colour", "red"], "Error: No such option"),
        (["a", "--", "--precision", "fp16"], "has no variant of that engine and precision"),
        (["a", "--name", "../b"], "edgenn: --name '../b' may have letters, digits"),
        (["a", "--name", ""], "edgenn: --name '' may have letters, digits"),
        (["a", "--extra", "mqt"], "edgenn: edgenn has no extra 'mqt'; there are gpio, gui,"),
        (["@a"], "edgenn: '@a' is no host; write USER@HOST"),
        (["-J", "x"], "Error: No such option"),
        ([], "Error: Missing argument '[USER@]HOST...'."),
        (["a b"], "edgenn: 'a b' is no host; write USER@HOST"),
    ],
)
def test_what_makes_no_sense_is_said_before_any_device_is_reached(
    fault, tiny, wheel, arguments, sentence
):
    code, line = fault(tiny / "tiny-detect.edgenn", "--wheel", wheel, *arguments)
    assert code == 2
    assert sentence in line


def test_a_wheel_that_is_missing(fault, tiny, tmp_path):
    code, line = fault(tiny / "tiny-detect.edgenn", "a", "--wheel", tmp_path / "none.whl")
    assert code == 14
    assert line == f"edgenn: there is no wheel at {tmp_path / 'none.whl'}"


def test_a_model_without_golden_samples(fault, tmp_path):
    (tmp_path / "bare.onnx").write_bytes(b"x")
    code, line = fault(tmp_path / "bare.onnx", "a")
    assert code == 2
    assert "is a bare model file without golden samples; deploy its bundle" in line


@pytest.mark.parametrize(
    ("arguments", "extras"),
    [
        ([], ()),
        (["--mqtt", "mqtt://b/t", "--require-key", "k", "--gpio", "17"], ("gpio", "mqtt", "sign")),
        (["--mqtt-state", "mqtt://b/t", "--sensor", "serial:/dev/ttyUSB0"], ("mqtt", "serial")),
        (["--engine", "onnx"], ("onnx",)),
    ],
)
def test_what_the_arguments_want_is_installed_there_without_being_named(
    fault, tiny, wheel, monkeypatch, arguments, extras
):
    wishes = []
    monkeypatch.setattr(Rollout, "__init__", lambda self, wish, *_: wishes.append(wish))
    monkeypatch.setattr(Rollout, "run", lambda *_, **__: [Outcome("a", "failed", note="it is off")])
    monkeypatch.setattr(Rollout, "stopped", lambda _: False)
    fault(tiny / "tiny-detect.edgenn", "a", "--wheel", wheel, "--camera", "0", "--", *arguments)
    assert wishes[0].extras == extras
