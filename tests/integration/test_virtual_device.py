"""The short pass of the virtual device: a real V4L2 driver and I2C bus; the rest is run by hand."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "virtual_device"
NEEDED = ("qemu-system-x86_64", "busybox", "cpio", "depmod")
MISSING = [
    name for name in NEEDED if shutil.which(name, path="/usr/bin:/bin:/usr/sbin:/sbin") is None
]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)} not installed")
def test_a_camera_and_a_sensor_of_the_kernel(tmp_path):
    done = subprocess.run(
        [sys.executable, str(TOOL), "--timeout", "500", "--out", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "report.json").read_text())["device"]["checks"] == 7
    assert len((tmp_path / "device" / "hundred.jsonl").read_text().splitlines()) == 100
