"""The same ONNX file on the same clip: ``edgenn run`` beside ``ultralytics`` predict.

    python tools/bench/run_vs_ultralytics street.avi --model yolo11n.onnx --rounds 5

Runs take turns, each in a process of its own with its own defaults. Of each: frames per CPU second
from the first result on, frames per second, MB of memory near the end, and seconds from the start
to the first result. Prints medians and the ratio of medians. Without --model the peer makes a
YOLO11n of 320 pixels with random weights, which costs the same time.

The peer (AGPL-3.0) lives in an environment of its own and is no dependency.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import venv
from pathlib import Path
from statistics import median
from time import monotonic

HERE = Path(__file__).parent
QUIET = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0"}
MEASURES = ("frames/CPU s", "frames/s", "MB", "first result s")


def main() -> None:
    """Take turns and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--frames", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-env", type=Path, default=Path(".cache/ultralytics"))
    parser.add_argument("--out", type=Path, default=Path("out/run_vs_ultralytics"))
    given = parser.parse_args()
    python = given.peer_env / "bin" / "python"
    if not python.exists():
        venv.create(given.peer_env, with_pip=True)
        wanted = HERE.parent / "detect_vs_ultralytics" / "requirements.txt"
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", wanted], check=True)
    model = given.model or given.out / "yolo11n.onnx"
    if not model.exists():
        given.out.mkdir(parents=True, exist_ok=True)
        call = [python.resolve().parent / "python", (HERE / "peer.py").resolve()]
        subprocess.run([*call, "make"], check=True, cwd=given.out, env={**os.environ, **QUIET})
    ours = [sys.executable, "-m", "edgenn", "run", model, "--source", given.video, "--out", "-"]
    theirs = [python, HERE / "peer.py", model, given.video]
    found: dict[str, list[tuple[float, ...]]] = {"edgenn": [], "ultralytics": []}
    for _ in range(given.rounds):
        found["edgenn"].append(once(ours, given.frames))
        found["ultralytics"].append(once(theirs, given.frames))
    print(f"{'':16}{'edgenn':>12}{'ultralytics':>12}{'ratio':>8}")
    for i, name in enumerate(MEASURES):
        a, b = (median(run[i] for run in runs) for runs in found.values())
        print(f"{name:16}{a:12.2f}{b:12.2f}{a / b:8.3f}")


def once(command: list[str | Path], frames: int) -> tuple[float, ...]:
    """One run to a number of frames, in the order of `MEASURES`."""
    begun = monotonic()
    environment = {**os.environ, **QUIET}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first, cpu = monotonic(), cpu_seconds(process.pid)
        for _ in range(frames - 1):
            process.stdout.readline()
        wall, used = monotonic() - first, cpu_seconds(process.pid) - cpu
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        memory = int(status.partition("VmRSS:")[2].split()[0]) / 1024
        process.stdout.close()
        process.terminate()
    return (frames - 1) / used, (frames - 1) / wall, memory, first - begun


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
