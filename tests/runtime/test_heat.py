from __future__ import annotations

import pytest

from edgenn.runtime.heat import Thermometer, read_temperatures


@pytest.fixture
def board(tmp_path):
    """A folder as /sys/class/thermal, and a function that writes into it."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{text}\n")
        return tmp_path

    write(thermal_zone0__type="cpu-thermal", thermal_zone0__temp=60000)
    return write


def test_a_cool_board_has_no_reason_to_do_less(board):
    heat = Thermometer(board(), ()).read()
    assert (heat.celsius, heat.reason) == (60.0, "")


def test_hot_is_where_the_kernel_would_slow_down_and_stays_so_until_it_has_cooled(board):
    folder = board(thermal_zone0__trip_point_0_type="active", thermal_zone0__trip_point_0_temp=4000)
    board(thermal_zone0__trip_point_1_type="passive", thermal_zone0__trip_point_1_temp=70000)
    thermometer = Thermometer(folder, ())
    said = []
    for degrees in (69000, 70000, 66000, 64000, 69000):
        board(thermal_zone0__temp=degrees)
        said.append(thermometer.read().reason)
    assert said == ["", "cpu-thermal has 70 °C", "cpu-thermal has 66 °C", "", ""]


def test_without_a_trip_point_hot_is_80_degrees(board):
    thermometer = Thermometer(board(thermal_zone0__temp=79000), ())
    assert not thermometer.read().reason
    board(thermal_zone0__temp=80000)
    assert thermometer.read().reason


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ("0x0", ""),
        ("50001", ""),
        ("0x4", "the firmware throttles"),
        ("8", "the firmware throttles"),
    ],
)
def test_the_flags_of_a_pi_count_while_they_hold(board, tmp_path, flags, reason):
    # What was once is in the bits from 16 on; low voltage is bit 0 and no heat.
    path = tmp_path / "get_throttled"
    path.write_text(f"{flags}\n")
    assert Thermometer(board(), (tmp_path / "missing", path)).read().reason == reason


def test_a_clock_that_is_held_down_counts_but_not_a_fan(board):
    folder = board(cooling_device0__type="pwm-fan", cooling_device0__cur_state=3)
    assert not Thermometer(folder, ()).read().reason
    board(cooling_device1__type="cpufreq-cpu0", cooling_device1__cur_state=0)
    thermometer = Thermometer(folder, ())
    assert not thermometer.read().reason
    board(cooling_device1__cur_state=2)
    assert thermometer.read().reason == "the kernel caps the clock"


def test_what_cannot_be_read_is_left_out(board, tmp_path):
    folder = board(thermal_zone1__type="gpu", thermal_zone1__temp="broken")
    assert Thermometer(folder, ()).read().celsius == 60.0
    assert read_temperatures(folder) == {"cpu-thermal": 60.0}
    assert Thermometer(tmp_path / "nowhere", ()).read().celsius is None
