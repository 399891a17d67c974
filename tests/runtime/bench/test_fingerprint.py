from __future__ import annotations

import numpy as np

import edgenn
from edgenn.runtime.bench.fingerprint import fingerprint

PI5 = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 asimdhp cpuid asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
CPU revision\t: 1
"""


def test_an_arm_board(tmp_path):
    clock = tmp_path / "sys/devices/system/cpu/cpu0/cpufreq"
    clock.mkdir(parents=True)
    (clock / "scaling_governor").write_text("ondemand\n")
    (clock / "cpuinfo_max_freq").write_text("2400000\n")
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    (tmp_path / "proc/cpuinfo").write_text(PI5)
    (tmp_path / "proc/meminfo").write_text("MemTotal:        8245632 kB\n")
    found = fingerprint(tmp_path)
    assert found.board == "Raspberry Pi 5 Model B Rev 1.0"
    assert found.cpu == "ARM 0x41 0xd0b 1"
    assert found.features == ("asimd", "asimddp", "asimdhp")
    assert (found.governor, found.max_mhz, found.memory_mb) == ("ondemand", 2400, 8052)


def test_a_system_that_says_nothing(tmp_path):
    found = fingerprint(tmp_path)
    assert (found.board, found.governor, found.max_mhz, found.memory_mb) == ("", "", 0, 0)
    assert found.cpu
    assert found.cores >= 1


def test_this_machine_has_its_versions():
    versions = fingerprint().versions
    assert versions["numpy"] == np.__version__
    assert versions["edgenn"] == edgenn.__version__
