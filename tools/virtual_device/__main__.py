"""Runs edgenn on a virtual device: a computer of its own with a camera and a sensor.

    python tools/virtual_device [--scenario device,camera] [--out DIR] [--keep]

Boots Debian's kernel in qemu, emulated in software, on the files of this machine: they are read
over 9p and written to memory only, so that the device runs this very interpreter and checkout. Its
cameras are the kernel's own: vivid, a V4L2 driver with a test pattern, and uvcvideo with a USB
camera that a program plays; its I2C sensor is i2c-stub. See scenarios/ for what is done there.

Each check is a line that begins with PASS or FAIL; the exit code is 1 if one failed or a scenario
did not end in time. Needs root for systemd's scenarios, and qemu-system-x86, busybox-static, cpio
and kmod; the kernel comes from Debian as a package and is not installed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

from machine import QEMU, Device

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def main() -> int:
    """Prepare, run each scenario on a device of its own, tell."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--scenario", default="device", help="names, with commas, or all")
    parser.add_argument("--python", default=sys.executable, help="interpreter with the packages")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="what is tested")
    parser.add_argument("--kernel", type=Path, default=ROOT / ".cache" / "virtual_device")
    parser.add_argument("--timeout", type=float, default=600, help="seconds per scenario")
    parser.add_argument("--out", type=Path, default=Path("out/virtual-device"))
    parser.add_argument("--keep", action="store_true", help="keep disks of devices that have one")
    given = parser.parse_args()
    there = sorted(p.stem for p in (HERE / "scenarios").glob("*.py") if p.stem[0] != "_")
    names = there if given.scenario == "all" else given.scenario.split(",")
    if unknown := [name for name in names if name not in there]:
        parser.error(f"no scenario is called {unknown[0]}; there are {', '.join(there)}")
    if shutil.which(QEMU) is None:
        parser.error(f"{QEMU} is missing: apt install qemu-system-x86")
    subprocess.run([HERE / "make_initramfs", given.kernel], check=True)
    report = {name: Device(name, given).run() for name in names}
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    failed = [name for name, told in report.items() if not told["passed"]]
    print(f"{len(names) - len(failed)} of {len(names)} scenarios passed")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
