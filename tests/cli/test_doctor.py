from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import boards
import pytest
from click.testing import CliRunner

from edgenn.cli import doctor
from edgenn.errors import DeviceError
from edgenn.runtime.doctor import examine
from edgenn.runtime.doctor.facts import Facts
from edgenn.runtime.doctor.problem import Problem

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(monkeypatch):
    """Runs the command on a fake board."""

    def run(board, *args, software=boards.SOFTWARE):
        report = examine(board.root, board.host, software)
        monkeypatch.setattr(doctor, "examine", lambda: report)
        return CliRunner().invoke(doctor.command, args)

    return run


def test_shows_the_device_and_ends_with_0(run, tmp_path):
    done = run(boards.orin(tmp_path))
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.output.splitlines()]
    assert "board NVIDIA Jetson Orin Nano Developer Kit" in lines
    assert "processor 6 x Cortex-A78AE: neon, fp16, dotprod" in lines
    assert "Jetson Linux 36.4.3, JetPack 6" in lines
    assert "temperature cpu-thermal 47 °C" in lines
    assert "engine ai_edge_litert 2.3.0" in lines
    assert lines[-1] == "no problems found"


def test_warnings_are_shown_and_are_no_failure(run, tmp_path):
    done = run(boards.pi5(tmp_path).but(groups=("pi",), user="eva"))
    assert done.exit_code == 0
    assert "/dev/video0 HD Webcam, not open to this user (group video)" in done.output
    assert "warning: user eva may not open /dev/video0" in done.output
    assert "    sudo usermod -aG dialout,gpio,i2c,video eva" in done.output


def test_errors_are_shown_and_told_by_the_exit_code(run, tmp_path):
    done = run(boards.x86(tmp_path).but(now=0.0))
    assert isinstance(done.exception, DeviceError)
    assert done.exception.exit_code == 12
    assert "clock-wrong" in str(done.exception)
    assert "error: the clock says 1970-01-01" in done.output


def test_json_has_all_of_it_and_the_guide_describes_every_field(run, tmp_path):
    done = run(boards.pi_zero(tmp_path), "--json")
    assert isinstance(done.exception, DeviceError)
    told = json.loads(done.stdout)
    assert (told["schema"], told["ok"]) == (1, False)
    assert told["system"]["board"] == "Raspberry Pi Zero W Rev 1.1"
    assert set(told["problems"][0]) == {"severity", "message", "fix", "id"}
    guide = (ROOT / "docs" / "doctor.md").read_text()
    for name in {*_names(Facts), *_names(Problem), "schema", "edgenn", "ok", "problems"}:
        assert f"`{name}`" in guide, name


@pytest.mark.parametrize("text", ["raise ImportError('built for another NumPy')", "os.abort()"])
def test_it_works_where_numpy_does_not(tmp_path, text):
    (tmp_path / "numpy.py").write_text(f"import os\n{text}\n")
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 12, done.stderr
    errors = [p["id"] for p in json.loads(done.stdout)["problems"] if p["severity"] == "error"]
    assert errors == ["core-broken"]  # and not what fails only because of it
    assert "Traceback" not in done.stderr


def _names(kind):
    """Names of a dataclass' fields, and of those that are in them."""
    for field in fields(kind):
        yield field.name
        hint = get_type_hints(kind)[field.name]
        for part in (hint, *get_args(hint)):
            if is_dataclass(part):
                yield from _names(part)
