"""Runs the device side on another processor, emulated, and compares it with this one.

    python tools/arm64 [--arch armhf] [--root .cache/root-arm64] [--clip street.avi] [--out DIR]

Makes a Debian root (see make_root; needs root, debootstrap and qemu-user-static), puts the wheels
of that processor into it from outside, and there runs `edgenn verify` on every built-in bundle and
`edgenn run` on the first frames of a clip, once per file of the bundle. Prints the largest
differences of raw outputs, boxes and scores; fails where golden samples do, or where more than one
detection in five is found by one processor alone. Writes report.json.

On armhf the engine is tflite-runtime, as there are no other wheels, and numpy and OpenCV are
Debian's. It computes int8 files with dense layers wrongly, which is what fails there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = "opt/edgenn"
WHEELS = {
    "arm64": [f"manylinux{v}_aarch64" for v in ("_2_28", "_2_27", "_2_17", "2014")],
    "armhf": [f"manylinux{v}_armv7l" for v in ("_2_34", "_2_31", "_2_17", "2014")],
}
# There are no wheels of these for 32-bit Arm; Debian has them.
ENGINES = {"arm64": ("onnx", "litert"), "armhf": ("litert",)}
PACKAGES = {"armhf": {"numpy": "python3-numpy", "opencv-python-headless": "python3-opencv"}}
# LiteRT's int8 kernels round in another way on Arm, so that some codes differ by one in each layer.
# Of a crowd of weak detections that moves some over the threshold.
_MOST_ALONE = 0.2
MATCH_PX = 16.0  # boxes of the same thing lie within this


def main() -> int:
    """Set up, run on both, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--arch", choices=tuple(WHEELS), default="arm64")
    parser.add_argument("--root", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--models", default="person,person-fast,sign-digits,watch,hand-path")
    parser.add_argument("--out", type=Path, default=Path("out/arm64"))
    given = parser.parse_args()
    root = (given.root or Path(".cache") / f"root-{given.arch}").resolve()
    subprocess.run([HERE / "make_root", root, given.arch], check=True)
    install(root, given.arch)
    given.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"arch": given.arch, "verify": {}, "run": {}}
    wrong = []
    with mounted(root):
        for model in given.models.split(","):
            report["verify"][model] = checks = verify(root, model)
            wrong += [
                f"{model} {c['file']}: {c['reason']}" for c in checks if c["status"] == "fail"
            ]
        if given.clip is not None:
            report["run"], differ = compare_runs(
                root, given.clip, given.frames, ENGINES[given.arch]
            )
            wrong += differ
    report["wrong"] = wrong
    (given.out / "report.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for text in wrong:
        print("WRONG:", text)
    return int(bool(wrong))


def install(root: Path, arch: str) -> None:
    """The wheels of the device install, for that processor, and this package."""
    site = root / SITE
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["onnx"]]
    platforms = [part for name in WHEELS[arch] for part in ("--platform", name)]
    wheels = ["--only-binary=:all:", "--python-version", "3.11", *platforms]
    calls = [(wheels, wanted)]
    if arch in PACKAGES:
        add_packages(root, [*PACKAGES[arch].values()])
        # pip would judge markers by the processor here, and look for a wheel of numpy.
        calls = [
            (wheels, [w for w in wanted if name_of(w) in ("click", "pydantic")]),
            ([*wheels, "--no-deps"], ["tflite-runtime"]),
        ]
    stamp = site / ".stamp"
    text = repr(calls) + (ROOT / "constraints.txt").read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != text:
        for options, names in calls:
            pip(*options, target=site, wanted=names)
        stamp.write_text(text, encoding="utf-8")
    pip("--no-deps", "--upgrade", target=site, wanted=[str(ROOT)])


def name_of(requirement: str) -> str:
    """The package that a requirement is of."""
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0]


def add_packages(root: Path, names: list[str]) -> None:
    """Install Debian's packages in the root, by its own package manager."""
    if all((root / "var/lib/dpkg/info" / f"{name}.list").exists() for name in names):
        return
    shutil.copy2("/etc/resolv.conf", root / "etc/resolv.conf")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *names]):
        subprocess.run(["chroot", root, "apt-get", "-qq", *command], env=environment, check=True)


def pip(*options: str, target: Path, wanted: list[str]) -> None:
    """Install into a folder."""
    command = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    command += ["--target", target, "-c", ROOT / "constraints.txt", *options, *wanted]
    subprocess.run(command, check=True)


class mounted:  # noqa: N801  used as a function
    """Mount /proc and /dev in the root, which engines look at."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __enter__(self) -> None:
        subprocess.run(["mount", "-t", "proc", "proc", self._root / "proc"], check=True)

    def __exit__(self, *error: object) -> None:
        subprocess.run(["umount", self._root / "proc"], check=True)


def there(root: Path, *args: str) -> str:
    """Standard output of an edgenn command on the other processor."""
    command = ["chroot", root, "/usr/bin/python3", "-m", "edgenn", *args]
    environment = {
        "PYTHONPATH": f"/{SITE}",
        "PATH": "/usr/sbin:/usr/bin:/bin",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 9):  # 9: outputs differ, which the JSON says
        sys.exit(f"edgenn {' '.join(args)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def here(*args: str) -> str:
    """The same on this one."""
    command = [sys.executable, "-m", "edgenn", *args]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def verify(root: Path, model: str) -> list[dict[str, Any]]:
    """Golden samples of one bundle there."""
    checks: list[dict[str, Any]] = json.loads(there(root, "verify", model, "--json"))
    for c in checks:
        worst = ", ".join(f"{name} {value:.3g}" for name, value in c["max_abs"].items())
        agreed = f"{c['agreement']:.3f}" if c["max_abs"] else ""
        print(f"verify {model:12} {c['file']:20} {c['status']:8} {agreed} {worst}", flush=True)
    return checks


def compare_runs(
    root: Path, clip: Path, frames: int, engines: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """The same frames through every file of the detectors, there and here."""
    inside = root / "clip"
    inside.write_bytes(clip.read_bytes())
    found: dict[str, Any] = {}
    wrong: list[str] = []
    for model in ("person", "person-fast"):
        for variant in json.loads(here("info", model, "--json"))["variants"]:
            if variant["engine"] not in engines:
                print(f"run {model} {variant['file']}: no {variant['engine']} there", flush=True)
                continue
            wish = ["--engine", variant["engine"], "--precision", variant["precision"]]
            wish = ["run", model, *wish, "--max-frames", str(frames), "--out", "-", "--source"]
            theirs, ours = (
                [json.loads(line) for line in text.splitlines()]
                for text in (there(root, *wish, "/clip"), here(*wish, str(clip)))
            )
            key = f"{model} {variant['file']}"
            found[key] = result = differences(theirs, ours)
            print(f"run {key:28} {result}", flush=True)
            if result["share"] > _MOST_ALONE:
                wrong.append(f"{key}: {result['alone']} detections differ")
    inside.unlink()
    return found, wrong


def differences(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, float]:
    """Detections in common, those of one side alone, and the largest differences."""
    same = 0
    alone: list[float] = []
    box = score = 0.0
    for a, b in zip(theirs, ours, strict=True):
        left = list(b["detections"])
        for one in a["detections"]:

            def apart(rival: dict[str, Any], one: dict[str, Any] = one) -> float:
                return max(abs(x - y) for x, y in zip(one["box"], rival["box"], strict=True))

            rivals = [r for r in left if r["label"] == one["label"] and apart(r) < MATCH_PX]
            if not rivals:
                alone.append(one["score"])
                continue
            twin = min(rivals, key=apart)
            left.remove(twin)
            same += 1
            box, score = max(box, apart(twin)), max(score, abs(one["score"] - twin["score"]))
        alone += [one["score"] for one in left]
    share = len(alone) / max(1, same + len(alone))
    found = {"same": same, "alone": len(alone), "share": round(share, 3), "box_px": round(box, 3)}
    return {**found, "score": round(score, 5), "alone_score": round(max(alone, default=0.0), 4)}


if __name__ == "__main__":
    sys.exit(main())
