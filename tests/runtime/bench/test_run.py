from __future__ import annotations

import shutil
import zipfile

import pytest

from edgenn.bundle.store import open_bundle, write_bundle
from edgenn.errors import BundleError, UsageError
from edgenn.runtime.bench.run import bench, steps

SHORT = {"seconds": 0.3, "rounds": 2}


@pytest.fixture(scope="module")
def report(tiny, tmp_path_factory):
    """fp32 of both engines, on a board with a power sensor."""
    sysfs = tmp_path_factory.mktemp("sys")
    sensor = sysfs / "class/hwmon/hwmon0"
    sensor.mkdir(parents=True)
    (sensor / "name").write_text("pmic\n")
    (sensor / "power1_input").write_text("2000000\n")
    ticks = []
    which = {"precisions": ["fp32"], "rounds": SHORT["rounds"]}
    path = tiny / "tiny-detect.edgenn"
    found = bench(path, **which, seconds=SHORT["seconds"], sysfs=sysfs, tick=ticks.append)
    assert len(ticks) == steps(path, **which)
    return found


def test_every_case_has_numbers_in_their_order(report):
    assert [(c.engine, c.provider, c.error) for c in report.cases] == [
        ("onnx", "cpu", ""),
        ("litert", "cpu", ""),
    ]
    for case in report.cases:
        assert 0 < case.p50_ms <= case.p95_ms <= case.p99_ms
        assert case.init_ms > 0
        assert case.first_ms > 0
        assert case.cpu_ms > 0
        assert case.memory_mb > 1
        assert len(case.round_p50_ms) == SHORT["rounds"]
        # All of the timed seconds are inferences.
        assert case.mean_ms * case.count >= 0.99e3 * SHORT["seconds"]


def test_energy_is_power_times_time(report):
    assert report.energy == "hwmon: pmic power1"
    assert report.idle_watts == pytest.approx(2.0, rel=1e-3)
    for case in report.cases:
        assert case.energy_mj == pytest.approx(2.0 * case.mean_ms, rel=0.1)
        assert case.above_idle_mj == pytest.approx(0, abs=0.1 * case.energy_mj)


def test_both_engines_say_what_their_operators_take(report):
    for case, kind in zip(report.cases, ("Conv", "Convolution (NHWC, F32)"), strict=True):
        assert case.profile_note == ""
        assert kind in {op.name.removesuffix(" IGEMM") for op in case.profile.types}
        assert sum(op.share for op in case.profile.types) == pytest.approx(1)


def test_a_variant_that_cannot_be_loaded_leaves_the_others_alone(tiny, tmp_path):
    source = open_bundle(tiny / "tiny-detect.edgenn")
    with zipfile.ZipFile(source.path) as archive:
        files = {n: archive.read(n) for n in archive.namelist() if n != "manifest.json"}
    first, *others = source.manifest.variants
    wrong = first.model_copy(update={"tensors": {**first.tensors, "scores": "nothing"}})
    manifest = source.manifest.model_copy(update={"variants": (wrong, *others)})
    write_bundle(manifest, files, tmp_path / "x.edgenn")
    broken, fine = bench(
        tmp_path / "x.edgenn", engines=["onnx"], seconds=0.1, rounds=1, profile=False
    ).cases
    assert "not those of its manifest" in broken.error
    assert broken.p50_ms == 0
    assert fine.p50_ms > 0


def test_a_changed_file_and_a_bare_file_are_refused(tiny, tmp_path):
    folder = tmp_path / "folder"
    with zipfile.ZipFile(tiny / "tiny-detect.edgenn") as archive:
        archive.extractall(folder)
    with pytest.raises(UsageError, match="bare model file"):
        bench(folder / "model.fp32.onnx", **SHORT)
    shutil.copy(folder / "model.int8.onnx", folder / "model.fp32.onnx")
    (case,) = bench(folder, engines=["onnx"], precisions=["fp32"], seconds=0.1, rounds=1).cases
    assert "does not match its hash" in case.error
    (folder / "manifest.json").write_text("{")
    with pytest.raises(BundleError):
        bench(folder, **SHORT)


def test_windows_are_measured_too(tiny):
    (case,) = bench(
        tiny / "tiny-sequence.edgenn",
        engines=["litert"],
        precisions=["fp32"],
        seconds=0.1,
        rounds=1,
    ).cases
    assert case.p50_ms > 0
