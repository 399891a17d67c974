from __future__ import annotations

import json

import pytest

from edgenn.errors import UsageError
from edgenn.runtime.bench.compare import compare, notes
from edgenn.runtime.bench.report import Case, Machine, Report, Settings, read_report

MACHINE = Machine(
    board="Raspberry Pi 5",
    cpu="ARM",
    features=("asimd",),
    cores=4,
    governor="performance",
    max_mhz=2400,
    memory_mb=8052,
    kernel="6.6 aarch64",
    versions={"onnxruntime": "1.22.0"},
)
SETTINGS = Settings(
    seconds=10, rounds=3, threads=(1,), provider="auto", half=False, input="golden sample 0"
)


def case(p50, **changes):
    numbers = {"p99_ms": 2 * p50, "cpu_ms": p50, "memory_mb": 20.0}
    numbers["round_p50_ms"] = (p50 * 0.98, p50, p50 * 1.02)
    head = {"file": "model.int8.onnx", "engine": "onnx", "precision": "int8", "threads": 1}
    return Case(**{**head, "p50_ms": p50, **numbers, **changes})


def report(*cases, machine=None, settings=None, **changes):
    values = {"bundle": "person", "bundle_sha256": "a" * 64, "energy": "none", "idle_watts": None}
    values["load"] = 0.1
    return Report(
        taken="2026-01-01T00:00:00+00:00",
        machine=MACHINE.model_copy(update=machine or {}),
        settings=SETTINGS.model_copy(update=settings or {}),
        cases=cases,
        **{**values, **changes},
    )


def test_ratios_are_the_second_over_the_first():
    (ratio,) = compare(report(case(10.0)), report(case(5.0, memory_mb=30.0)))
    assert (ratio.p50, ratio.p99, ratio.cpu, ratio.memory) == (0.5, 0.5, 0.5, 1.5)
    assert not ratio.in_noise


def test_what_the_rounds_do_not_tell_apart_is_noise():
    (ratio,) = compare(report(case(10.0)), report(case(10.2)))
    assert ratio.in_noise


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"bundle_sha256": "b" * 64}, "bundle person aaaaaaaaaaaa and person bbbbbbbbbbbb"),
        ({"machine": {"cpu": "x86"}}, "machine cpu ARM and x86"),
        ({"machine": {"governor": "ondemand"}}, "governor performance and ondemand"),
        ({"machine": {"memory_mb": 4000}}, "memory 8052 and 4000 MiB"),
        ({"settings": {"seconds": 2.0}}, "seconds 10.0 and 2.0"),
        ({"settings": {"threads": (1, 4)}}, "threads 1 and 1 4"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_by_name(changes, named):
    with pytest.raises(UsageError, match=named):
        compare(report(case(10.0)), report(case(10.0), **changes))


def test_all_that_differs_is_named_at_once():
    with pytest.raises(UsageError, match=r"board.*cores.*seconds"):
        compare(
            report(case(1.0)),
            report(case(1.0), machine={"board": "Pi 4", "cores": 2}, settings={"seconds": 1.0}),
        )


def test_another_engine_version_is_what_may_be_compared():
    old = report(case(10.0))
    new = report(
        case(9.0), machine={"versions": {"onnxruntime": "1.23.2"}}, settings={"provider": "cuda"}
    )
    assert compare(old, new)
    assert notes(old, new) == ["onnxruntime 1.22.0 and 1.23.2", "provider auto and cuda"]


def test_a_busy_machine_is_told_from_a_quiet_one():
    quiet = case(10.0, provider="cpu", mean_ms=10.1, cpu_ms=10.0)
    shared = case(10.0, provider="cpu", mean_ms=20.0, cpu_ms=10.0)
    on_gpu = case(10.0, provider="cuda", mean_ms=20.0, cpu_ms=1.0)
    assert report(quiet, on_gpu).disturbance() == ""
    assert "50% of a core" in report(quiet, shared).disturbance()
    assert "load 3.0 on 4 cores" in report(quiet, load=3.0).disturbance()


def test_failed_cases_are_left_out():
    failed = case(1.0, error="no memory")
    with pytest.raises(UsageError, match="no case in common"):
        compare(report(case(1.0)), report(failed))


def test_a_report_without_rounds_is_compared_all_the_same():
    (ratio,) = compare(report(case(4.0)), report(case(2.0, round_p50_ms=())))
    assert ratio.p50 == 0.5


def test_a_report_comes_back_from_its_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(report(case(10.0)).to_json())
    assert read_report(path) == report(case(10.0))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("nonsense", "is no report"),
        ("[]", "schema version None"),
        (json.dumps({"schema_version": 2}), "schema version 2"),
        (json.dumps({"schema_version": 1}), "is no report"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, text, fault):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=fault):
        read_report(path)
