from __future__ import annotations

import json
import shutil
import sys

import pytest

from edgenn.deploy.remote import judge
from edgenn.deploy.remote.talk import RefusedError


@pytest.fixture
def release(tmp_path):
    """A release with the Python of the tests, and an edgenn that says what it is told to."""
    programs = tmp_path / "venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (programs / "edgenn").write_text(
        f"#!/bin/sh\ncat {tmp_path}/out; cat {tmp_path}/err >&2; exit $(cat {tmp_path}/code)\n"
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    return tmp_path


@pytest.fixture
def says(release):
    def says(code, out="", err=""):
        for name, text in (("code", str(code)), ("out", out), ("err", err)):
            (release / name).write_text(text)

    return says


def check(file, status, reason=""):
    return {"file": file, "status": status, "reason": reason}


def test_a_variant_that_does_not_verify_is_left_out(line, release, says):
    checks = [check("a", "pass"), check("b", "fail", "is off"), check("c", "skipped", "no engine")]
    says(9, json.dumps(checks), "edgenn: b: is off\n")
    assert judge.verify(line, release) == (["a"], ["b: is off"])


@pytest.mark.parametrize(
    ("out", "err", "reason"),
    [
        (json.dumps([check("b", "fail", "is off")]), "", "does not verify there: b: is off"),
        ("", "edgenn: no engine is here\n", "does not verify there: edgenn: no engine is here"),
    ],
)
def test_nothing_verifies(line, release, says, out, err, reason):
    says(9, out, err)
    with pytest.raises(RefusedError, match=reason):
        judge.verify(line, release)


def test_a_doctor_is_heard_where_there_is_one(line, release, says):
    says(0, "{}")
    assert not judge.doctor(line, release)
    says(2, err="Error: there is no doctor\n")
    assert not judge.doctor(line, release)
    says(13, err="edgenn: the supply is too weak\n")
    assert judge.doctor(line, release) == "edgenn: the supply is too weak"


@pytest.mark.parametrize("name", ["tiny-classify", "tiny-sequence"])
def test_every_kind_of_model_is_timed(line, release, tiny, name):
    (release / "venv/bin/edgenn").write_text(f'#!/bin/sh\nexec {sys.executable} -m edgenn "$@"\n')
    shutil.copy(tiny / f"{name}.edgenn", release / "model.edgenn")
    variants = [{"file": "model.fp32.tflite", "engine": "litert", "precision": "fp32"}]
    times = judge.measure(line, release, variants)
    assert list(times) == ["model.fp32.tflite"]
    assert 0 < times["model.fp32.tflite"] < 100


def test_what_cannot_be_timed(line, release, says):
    variants = [{"file": "x", "engine": "litert", "precision": "fp16"}]
    says(0, json.dumps({"cases": [{"file": "x", "error": "it crashed"}]}))
    with pytest.raises(RefusedError, match=r"x cannot be timed there: it crashed"):
        judge.measure(line, release, variants)
    says(6, err="edgenn: nothing could be run\n")
    with pytest.raises(RefusedError, match=r"cannot be timed there: edgenn: nothing could be run"):
        judge.measure(line, release, variants)
