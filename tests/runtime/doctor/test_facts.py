from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import boards
import pytest

from edgenn.runtime.doctor import examine
from edgenn.runtime.doctor.facts import gather
from edgenn.runtime.doctor.host import this_host
from edgenn.runtime.doctor.ports import Device


def facts_of(board):
    return gather(board.root, board.host, boards.SOFTWARE)


@pytest.mark.parametrize(
    ("make", "kind", "name", "cores", "cpu", "features"),
    [
        (boards.pi5, "pi", "Raspberry Pi 5 Model B Rev 1.0", 4, "Cortex-A76",
         ("neon", "fp16", "dotprod")),
        (boards.pi_zero, "pi", "Raspberry Pi Zero W Rev 1.1", 1, "ARM1176", ()),
        (boards.orin, "jetson", "NVIDIA Jetson Orin Nano Developer Kit", 6, "Cortex-A78AE",
         ("neon", "fp16", "dotprod")),
        (boards.x86, "other", "Intel(R) Client Systems NUC11ATKC4", 1, "Intel(R) N100",
         ("fma", "avx", "f16c", "avx2", "avx-vnni")),
    ],
)  # fmt: skip
def test_knows_boards_and_processors(tmp_path, make, kind, name, cores, cpu, features):
    facts = facts_of(make(tmp_path))
    assert (facts.system.kind, facts.system.board) == (kind, name)
    assert (facts.cpu.cores, facts.cpu.name, facts.cpu.features) == (cores, cpu, features)


def test_a_pi_with_what_is_plugged_in(tmp_path):
    facts = facts_of(boards.pi5(tmp_path))
    (camera,) = facts.cameras  # not its metadata node
    assert (camera.path, camera.name, camera.group) == ("/dev/video0", "HD Webcam", "video")
    assert camera.usable
    assert camera.captures is None  # a file does not answer
    assert facts.devices == (
        Device("i2c", "i2c://1/CHIP", "Synopsys DesignWare I2C adapter", "i2c", usable=True),
        Device("serial", "serial:/dev/ttyACM0", "", "dialout", usable=True),
        Device("gpio", "/dev/gpiochip0", "", "gpio", usable=True),
        Device("iio", "iio:device0", "lis3dh", "", usable=True),
    )
    assert facts.memory.total_mb == 8066
    assert facts.system.os == "Debian GNU/Linux 12 (bookworm)"
    assert facts.power.celsius == {"cpu-thermal": 51.2}
    assert (facts.power.throttled, facts.power.undervoltage) == ("", "no")
    assert facts.user.listed == ("i2c", "video")
    assert facts.service.systemd
    assert not facts.service.unit


def test_flags_of_a_pi_say_what_is_and_what_was(tmp_path):
    board = boards.pi_zero(tmp_path)
    power = facts_of(board).power
    assert power.undervoltage == "now"
    assert power.throttled == "the firmware throttles"
    board.write_all({"sys/devices/platform/soc/soc:firmware/get_throttled": "0x50000\n"})
    power = facts_of(board).power
    assert (power.undervoltage, power.throttled) == ("since boot", "")


@pytest.mark.parametrize(
    ("text", "l4t", "jetpack"),
    [
        ("# R35 (release), REVISION: 4.1, GCID: 1", "35.4.1", "5"),
        ("# R36 (release), REVISION: 4.3, GCID: 1", "36.4.3", "6"),
        ("# R39 (release), REVISION: 2.0, GCID: 1", "39.2.0", "7"),
        ("# R99 (release), REVISION: 1.0, GCID: 1", "99.1.0", ""),
        ("rubbish", "", ""),
    ],
)
def test_jetson_linux_belongs_to_a_jetpack(tmp_path, text, l4t, jetpack):
    system = facts_of(boards.orin(tmp_path).write_all({"etc/nv_tegra_release": text})).system
    assert (system.l4t, system.jetpack, system.kind) == (l4t, jetpack, "jetson")


def test_an_environment_may_see_what_apt_installed(tmp_path):
    venv = tmp_path / "env"
    board = boards.pi5(tmp_path).but(venv=str(venv))
    board.write_all({"env/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = false\n"})
    assert not facts_of(board).system.sees_system_packages
    board.write_all({"env/pyvenv.cfg": "include-system-site-packages = true\n"})
    assert facts_of(board).system.sees_system_packages
    assert facts_of(board.but(venv="")).system.sees_system_packages


def test_a_tree_with_nothing_in_it_is_no_reason_to_fail(tmp_path):
    board = boards.x86(tmp_path)
    for folder in ("proc", "sys", "etc"):
        (tmp_path / folder).rename(tmp_path / f"no-{folder}")
    facts = facts_of(board)
    assert (facts.system.board, facts.cpu.name, facts.cpu.cores) == ("unknown", "unknown", 0)
    assert facts.system.os == "unknown"
    assert examine(board.root, board.host, boards.SOFTWARE).problems == ()


def test_this_machine_is_read_too():
    facts = gather(software=boards.SOFTWARE)
    assert facts.cpu.cores > 0
    assert facts.cpu.name != "unknown"
    assert 0 < facts.memory.available_mb <= facts.memory.total_mb
    assert facts.storage.free_mb > 0
    assert facts.system.bits in (32, 64)
    assert facts.clock.installed <= facts.clock.now


def test_a_user_without_a_home_is_no_reason_to_fail(monkeypatch):
    def home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)
    assert gather(software=boards.SOFTWARE).storage.path == "/.local/state/edgenn"


def test_neither_is_a_folder_that_cannot_be_looked_into(tmp_path):
    # As one that belongs to somebody else, the system refuses to look for it.
    host = replace(this_host(), state=tmp_path / ("x" * 300) / "edgenn")
    assert gather(host=host, software=boards.SOFTWARE).storage.free_mb > 0
