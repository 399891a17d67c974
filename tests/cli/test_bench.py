from __future__ import annotations

import json
import subprocess
import sys

import cv2
import pytest

from edgenn.cli import main


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs ``edgenn`` in this process: exit code, standard output, standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["edgenn", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def quick(tiny):
    path = tiny / "tiny-detect.edgenn"
    return ["bench", path, "--duration", "0.1", "--rounds", "1", "--threads", "1"]


def test_json_alone_on_the_standard_output(quick):
    """As a deployment from another machine reads it."""
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", *map(str, quick), "--json", "-", "--no-profile"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    report = json.loads(done.stdout)
    assert report["schema_version"] == 1
    files = {case["file"]: case["p50_ms"] for case in report["cases"]}
    assert len(files) == 4
    assert all(files.values())
    # No bar; at most that the machine was busy.
    assert len(done.stderr.splitlines()) <= 1


def test_a_duration_that_is_no_number_is_told(run, tiny):
    code, _, err = run("bench", tiny / "tiny-detect.edgenn", "--duration", "nan")
    assert code == 2
    assert "nan is not a finite number" in err


def test_a_table_a_chart_and_a_comparison_with_itself(run, quick, tmp_path):
    only = ["--engines", "onnx", "--precisions", "fp32"]
    code, out, _ = run(*quick, *only, "--out", tmp_path / "out", "--json", tmp_path / "a.json")
    assert code == 0
    assert "model.fp32.onnx" in out
    assert "Conv" in out
    assert cv2.imread(str(tmp_path / "out" / "latency.png")) is not None
    assert (tmp_path / "out" / "bench.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    code, out, _ = run("bench", "--compare", tmp_path / "a.json", tmp_path / "a.json")
    assert code == 0
    assert "1.000" in out
    assert "within the noise" in out
    other = json.loads((tmp_path / "a.json").read_text())
    other["machine"]["cores"] += 1
    (tmp_path / "b.json").write_text(json.dumps(other))
    code, _, err = run("bench", "--compare", tmp_path / "a.json", tmp_path / "b.json")
    assert code == 2
    assert "not comparable: machine cores" in err


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--engines", "torch"], "--engines takes all or some of onnx,litert"),
        (["--threads", "0"], "--threads takes numbers from 1 to 256"),
        (["--precisions", "fp16"], "has no such variant"),
        (["--engines", "litert", "--provider", "cuda"], "LiteRT has no provider cuda"),
    ],
)
def test_mistakes_end_in_one_sentence(run, quick, flags, fault):
    code, _, err = run(*quick, *flags)
    assert code == 2
    (line,) = err.strip().splitlines()
    assert fault in line


def test_nothing_to_measure(run):
    assert run("bench")[0] == 2


def test_where_nothing_runs_the_reasons_and_the_code_say_so(run, quick):
    code, _, err = run(*quick, "--provider", "cuda", "--precisions", "fp32")
    assert code == 6
    assert "pip install onnxruntime-gpu" in err
