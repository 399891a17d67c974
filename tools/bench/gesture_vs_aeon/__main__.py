"""This project's gesture net beside aeon's ROCKET: same clips, same people, same machine.

    python tools/bench/gesture_vs_aeon DATA

DATA is a folder as EDGENN_DATA names it, with gestures/utd-mhad/inertial. Trains
clips.yaml with three seeds and ROCKET (20,000 kernels) on subjects 1 to 4, and
judges both on 5 and 6. ROCKET gets whole clips resampled to 180 readings; the net
gets them reading by reading, as from a sensor. Writes OUT/report.md and
OUT/report.json. What is there already is not trained again.

The peer (BSD) lives in an environment of its own and is no dependency.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from time import monotonic, perf_counter

import numpy as np

from edgenn.bundle.store import open_bundle
from edgenn.data import Dataset, Recording
from edgenn.data.load import load_dataset
from edgenn.recipe.load import load_recipe
from edgenn.runtime.model import Model

HERE = Path(__file__).parent
SEEDS = (0, 1, 2)
STEPS = 180


def main() -> None:
    """Train, export, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/gesture_vs_aeon"))
    parser.add_argument("--peer-env", type=Path, default=Path(".cache/aeon"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ["EDGENN_DATA"] = str(args.data.resolve())
    data = load_dataset(load_recipe(HERE / "clips.yaml"))
    print(f"{len(data.train)} clips to train on, {len(data.val)} to test on", flush=True)
    rows = [row for seed in SEEDS for row in ours(args.out, seed, data)]
    rows.append(peer(args.out, args.peer_env, data))
    (args.out / "report.json").write_text(json.dumps(rows, indent=1))
    text = table(rows)
    (args.out / "report.md").write_text(text)
    print(text)


def ours(out: Path, seed: int, data: Dataset) -> list[dict[str, object]]:
    """One training, and every file of its bundle."""
    name, bundle_path = f"clips-{seed}", out / f"clips-{seed}.edgenn"
    noted = out / f"{name}.seconds"
    edgenn = [sys.executable, "-m", "edgenn"]
    if not bundle_path.exists():
        start = monotonic()
        call = ["train", HERE / "clips.yaml", "--set", f"seed={seed}", "--runs", out / "runs"]
        call += ["--name", name]
        # The last weights count: the people who are tested on choose nothing.
        call += ["--set", "train.eval_every=1000"]
        subprocess.run([*edgenn, *map(str, call)], check=True)
        noted.write_text(f"{monotonic() - start:.0f}")
        call = ["export", out / "runs" / name, "--int8", "--max-drop", "1", "--out", bundle_path]
        subprocess.run([*edgenn, *map(str, call)], check=True)
    bundle = open_bundle(bundle_path)
    rows = []
    for variant in bundle.manifest.variants:
        model = Model(bundle.manifest, variant, bundle.read(variant.file), threads=1)
        right, taken, steps = judge(model, data.val)
        rows.append(
            {
                "model": f"edgenn, seed {seed}",
                "file": variant.file,
                "accuracy": round(right / len(data.val), 4),
                "training s": int(noted.read_text()) if noted.exists() else None,
                "size kB": round(variant.size / 1e3),
                "ms per decision": round(taken / steps * 1e3, 3),
                "ms per clip": round(taken / len(data.val) * 1e3, 2),
            }
        )
    return rows


def judge(model: Model, clips: tuple[Recording, ...]) -> tuple[int, float, int]:
    """Clips that were right at their end, seconds in all, and steps."""
    right = steps = 0
    start = perf_counter()
    for clip in clips:
        found = [prediction for _, prediction in model.follow(clip.values)]
        steps += len(found)
        right += found[-1].class_id == clip.class_ids[0]
    return right, perf_counter() - start, steps


def peer(out: Path, env: Path, data: Dataset) -> dict[str, object]:
    """ROCKET in its own environment."""
    found = out / "rocket.json"
    if not found.exists():
        python = env / "bin" / "python"
        if not python.exists():
            venv.create(env, with_pip=True)
            wanted = ["-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"]
            subprocess.run([python, *wanted], check=True)
        arrays = out / "clips.npz"
        sides = {"train": data.train, "test": data.val}
        np.savez(
            arrays,
            **{f"x_{k}": np.stack([resampled(c) for c in v]) for k, v in sides.items()},
            **{f"y_{k}": np.array([c.class_ids[0] for c in v]) for k, v in sides.items()},
        )
        subprocess.run([python, HERE / "peer.py", arrays, found], check=True)
    return json.loads(found.read_text())


def resampled(clip: Recording) -> np.ndarray:
    """(C, 180) readings of a clip, evenly over its length."""
    at = np.linspace(0, len(clip.values) - 1, STEPS)
    return np.stack([np.interp(at, np.arange(len(clip.values)), c) for c in clip.values.T])


def table(rows: list[dict[str, object]]) -> str:
    """Markdown."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head), *([r.get(h, "") for h in head] for r in rows)]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
