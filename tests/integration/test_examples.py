"""The examples under deploy/ that need more than the device install."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"


def test_gesture_lamp(tiny, recording, monkeypatch):
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    args = [tiny / "tiny-sequence.edgenn", recording, "low", "high"]
    command = [sys.executable, EXAMPLES / "gesture_lamp.py", *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert [line.split(" s  ")[1] for line in done.stdout.splitlines()] == [
        "low: lamp on",
        "high: lamp off",
    ]


def test_service(tiny, clip):
    code = (
        "import time, sys; sys.path.insert(0, sys.argv[1])\n"
        "from fastapi.testclient import TestClient\n"
        "import service\n"
        "with TestClient(service.app) as client:\n"
        "    until = time.monotonic() + 20\n"
        "    while client.get('/now').json().get('frame') != 19 and time.monotonic() < until:\n"
        "        time.sleep(0.05)\n"
        "    print([d['label'] for d in client.get('/now').json()['detections']])\n"
    )
    env = {**os.environ, "SOURCE": str(clip), "MODEL": str(tiny / "tiny-detect.edgenn")}
    command = [sys.executable, "-c", code, str(EXAMPLES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env, check=False)
    assert done.stdout == "['red', 'blue']\n", done.stderr
