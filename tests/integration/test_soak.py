"""A short pass of the soak test; hours of it are run by hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "soak"
BROKER = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")


@pytest.mark.skipif(BROKER is None, reason="mosquitto is not installed")
def test_a_run_outlives_a_cut_a_dead_broker_and_rubbish(tmp_path):
    options = ["--minutes", "0.6", "--pause", "2", "--lasts", "3", "--every", "0.5"]
    options += ["--faults", "cut,broker,corrupt", "--out", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, str(TOOL), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["faults"] >= 3
    assert report["mqtt_lost"] == 0
    assert report["results"] > 100
    assert (tmp_path / "soak.png").stat().st_size > 5000
