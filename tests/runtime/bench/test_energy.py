from __future__ import annotations

from time import monotonic, sleep

import pytest

from edgenn.runtime.bench.energy import Meter


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name).write_text(f"{value}\n")
    return folder


def measured(root, seconds=0.3):
    """Source and watts over some time."""
    with Meter(root) as meter:
        sleep(0.05)
        begin = monotonic()
        sleep(seconds)
        end = monotonic()
        sleep(0.05)
    joules = meter.joules(begin, end)
    return meter.source, None if joules is None else joules / (end - begin)


def test_a_board_without_sensors_says_so(tmp_path):
    assert measured(tmp_path, 0.15) == ("none: the board has no sensor of its power", None)


def test_the_input_rail_of_a_jetson_has_the_others_in_it(tmp_path):
    write(
        tmp_path / "class/hwmon/hwmon3",
        name="ina3221",
        in1_label="VDD_IN",
        in1_input=5000,  # mV
        curr1_input=1500,  # mA
        in2_label="VDD_CPU_GPU_CV",
        in2_input=5000,
        curr2_input=800,
    )
    source, watts = measured(tmp_path)
    assert source == "INA3221: VDD_IN"
    assert watts == pytest.approx(7.5, rel=1e-3)


def test_rails_of_a_jetson_without_a_total_are_added(tmp_path):
    rails = {"in1_label": "VDD_GPU_SOC", "in1_input": 5000, "curr1_input": 1000}
    rails |= {"in2_label": "VDD_CPU_CV", "in2_input": 5000, "curr2_input": 400}
    write(tmp_path / "class/hwmon/hwmon1", name="ina3221", **rails)
    assert measured(tmp_path)[1] == pytest.approx(7.0, rel=1e-3)


def test_jetpack_4_has_milliwatts(tmp_path):
    folder = tmp_path / "bus/i2c/drivers/ina3221x/6-0040/iio:device0"
    write(folder, rail_name_0="POM_5V_IN", in_power0_input=3200)
    source, watts = measured(tmp_path)
    assert source == "INA3221: POM_5V_IN"
    assert watts == pytest.approx(3.2, rel=1e-3)


def test_hwmon_has_microwatts(tmp_path):
    write(tmp_path / "class/hwmon/hwmon0", name="pmic", power1_input=2500000)
    source, watts = measured(tmp_path)
    assert source == "hwmon: pmic power1"
    assert watts == pytest.approx(2.5, rel=1e-3)


def test_rapl_counts_packages_only_and_survives_the_end_of_its_range(tmp_path):
    zone = tmp_path / "class/powercap/intel-rapl:0"
    write(zone, name="package-0", energy_uj=9_900_000, max_energy_range_uj=10_000_000)
    write(tmp_path / "class/powercap/intel-rapl:0:0", name="core", energy_uj=5)
    with Meter(tmp_path) as meter:
        sleep(0.1)
        begin = monotonic()
        sleep(0.1)
        (zone / "energy_uj").write_text("400000\n")
        sleep(0.1)
        end = monotonic()
        sleep(0.05)
    assert meter.source.startswith("RAPL: 1 package")
    assert meter.joules(begin, end) == pytest.approx(0.5, rel=1e-3)


def test_rapl_that_only_root_may_read_is_named(tmp_path):
    write(tmp_path / "class/powercap/intel-rapl:0", name="package-0")
    assert measured(tmp_path, 0.15) == ("none: RAPL may be read by root only", None)


def test_too_short_a_time_has_no_energy(tmp_path):
    write(tmp_path / "class/hwmon/hwmon0", name="pmic", power1_input=2500000)
    with Meter(tmp_path) as meter:
        begin = monotonic()
        sleep(0.06)
        assert meter.joules(begin, monotonic()) is None
