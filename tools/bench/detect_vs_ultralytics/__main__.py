"""This project's detectors beside YOLO11n: same photos, same minutes, same machine.

    python tools/bench/detect_vs_ultralytics FRUIT --minutes 15

FRUIT is a folder with ``train`` and ``test`` in Pascal VOC layout. Trains
YOLO11n and this project's families, each for the same time on all cores, and
exports all to ONNX and TFLite, fp32 and int8. The test photos choose nothing:
of every training the last weights count. One evaluator judges all files, and
all take turns on one thread for their times. Writes OUT/report.md and
OUT/report.json. What is there already is not trained again.

The peer (AGPL-3.0) lives in an environment of its own and is no dependency.
Needs the training extra, and .cache/mobilenet_v2.pth for the ImageNet run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from time import monotonic

import numpy as np
import onnx
from measure import peer_files, peer_quality, times

from edgenn.bundle.store import open_bundle
from edgenn.data import Dataset
from edgenn.data.feed import Feed, input_spec
from edgenn.data.images import read
from edgenn.data.load import load_dataset
from edgenn.recipe.load import load_recipe

HERE = Path(__file__).parent
SIZE = 320
OURS = ("scratch", "imagenet")


def main() -> None:
    """Train, export, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("fruit", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--out", type=Path, default=Path("out/detect_vs_ultralytics"))
    parser.add_argument("--peer-env", type=Path, default=Path(".cache/ultralytics"))
    parser.add_argument("--models", type=Path, help="folder with yolox_nano.onnx, fastestdet.onnx")
    parser.add_argument("--only", choices=("peer", *OURS), help="train this one and stop")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ["FRUIT"] = str(args.fruit.resolve())
    recipe = load_recipe(HERE / "scratch.yaml")
    data = load_dataset(recipe)
    print(f"{len(data.train)} photos to train on, {len(data.val)} to test on", flush=True)
    for name in (args.only,) if args.only else ("peer", *OURS):
        train_peer(args, data) if name == "peer" else train_ours(args, name)
    if not args.only:
        report(args, data)


def train_peer(args: argparse.Namespace, data: Dataset) -> None:
    """YOLO11n in its own environment."""
    if (args.out / "yolo11n.pt2").exists():
        return
    python = args.peer_env / "bin" / "python"
    if not python.exists():
        venv.create(args.peer_env, with_pip=True)
        wanted = ["-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"]
        subprocess.run([python, *wanted], check=True)
    described = write_yolo(data, args.out / "yolo")
    quiet = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0"}
    call = [python, HERE / "peer.py", described, str(args.minutes), str(SIZE), args.out]
    subprocess.run(call, check=True, env=quiet)


def write_yolo(data: Dataset, root: Path) -> Path:
    """The same photos and boxes in the layout that the peer reads."""
    for side, samples in (("train", data.train), ("val", data.val)):
        for sub in ("images", "labels"):
            (root / sub / side).mkdir(parents=True, exist_ok=True)
        for sample in samples:
            link = root / "images" / side / sample.path.name
            if not link.exists():
                link.symlink_to(sample.path.resolve())
            height, width = read(sample.path).shape[:2]
            boxes = sample.boxes / (width, height, width, height)
            rows = [
                f"{c} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}"
                for c, (x1, y1, x2, y2) in zip(sample.class_ids, boxes, strict=True)
            ]
            (root / "labels" / side / f"{sample.path.stem}.txt").write_text("\n".join(rows))
    names = json.dumps(dict(enumerate(data.labels)))
    described = root / "data.yaml"
    described.write_text(
        f"path: {root.resolve()}\ntrain: images/train\nval: images/val\nnames: {names}\n"
    )
    return described


def train_ours(args: argparse.Namespace, name: str) -> None:
    """As many epochs as fit into the minutes; the last weights count."""
    runs = args.out / "runs"
    if not (runs / name / "summary.json").exists():
        taken = [timed(runs, name, epochs) for epochs in (1, 8)]
        each = (taken[1] - taken[0]) / 7
        # The last epochs are plain ones at full size and take longer.
        epochs = int((0.96 * args.minutes * 60 - taken[0]) / each) + 1
        print(f"{name}: {each:.1f} s per epoch, {epochs} epochs", flush=True)
        seconds = timed(runs, name, epochs, keep=True)
        print(f"{name}: {seconds / 60:.1f} minutes", flush=True)
        (runs / name / "minutes.json").write_text(json.dumps({"minutes": seconds / 60}))
    bundle = args.out / f"{name}.edgenn"
    if not bundle.exists():
        call = ["export", runs / name, "--int8", "--max-drop", "1", "--out", bundle]
        subprocess.run([sys.executable, "-m", "edgenn", *call], check=True)


def timed(runs: Path, name: str, epochs: int, *, keep: bool = False) -> float:
    """Seconds of a training."""
    run = name if keep else f"{name}-speed-{epochs}"
    start = monotonic()
    call = ["train", HERE / f"{name}.yaml", "--epochs", epochs, "--runs", runs, "--name", run]
    call += ["--set", f"train.eval_every={epochs}"]
    if not keep:
        call += ["--set", "augment.last_epochs_plain=0"]
    subprocess.run([sys.executable, "-m", "edgenn", *map(str, call)], check=True)
    return monotonic() - start


def report(args: argparse.Namespace, data: Dataset) -> None:
    """Judge and time every file."""
    recipe = load_recipe(HERE / "scratch.yaml")
    spec = input_spec(recipe, data)
    train, test = (Feed(s, recipe, spec, train=False) for s in (data.train, data.val))
    picked = np.linspace(0, len(train) - 1, 128).round().astype(int)
    files = peer_files(args.out, [np.ascontiguousarray(train[int(i)].x[None]) for i in picked])
    rows, models = [], {}
    for kind, path in files.items():
        metrics = peer_quality(path, test, data.labels, SIZE)
        rows.append(row("YOLO11n", kind, metrics.main, metrics.extra["mAP50"], path))
        models[f"YOLO11n {kind}"] = (path, SIZE)
    for name in OURS:
        folder = args.out / name
        bundle = open_bundle(args.out / f"{name}.edgenn")
        folder.mkdir(exist_ok=True)
        measured = json.loads(bundle.read("metrics.json"))["variants"]
        for variant in bundle.manifest.variants:
            path = folder / variant.file
            path.write_bytes(bundle.read(variant.file))
            kind = f"{variant.precision} {path.suffix[1:]}"
            found = measured[variant.file]
            rows.append(row(f"edgenn {name}", kind, found["main"], found["mAP50"], path))
            models[f"edgenn {name} {kind}"] = (path, SIZE)
    for name in ("yolox_nano", "fastestdet"):
        if args.models:
            path = args.models / f"{name}.onnx"
            side = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[2].dim_value
            rows.append(row(f"{name} (COCO)", "fp32 onnx", None, None, path))
            models[f"{name} (COCO) fp32 onnx"] = (path, side)
    taken = times(models)
    for entry in rows:
        entry["ms"] = round(taken[f"{entry['model']} {entry['file']}"], 2)
        entry["of YOLO11n"] = round(entry["ms"] / taken["YOLO11n fp32 onnx"], 2)
    (args.out / "report.json").write_text(json.dumps(rows, indent=1))
    text = table(rows)
    (args.out / "report.md").write_text(text)
    print(text)


def row(
    model: str, kind: str, main: float | None, half: float | None, path: Path
) -> dict[str, object]:
    """One file of the table, still without times."""
    shown = [None if v is None else round(v, 4) for v in (main, half)]
    size = round(path.stat().st_size / 1e6, 2)
    return {"model": model, "file": kind, "mAP50-95": shown[0], "mAP50": shown[1], "MB": size}


def table(rows: list[dict[str, object]]) -> str:
    """Markdown."""
    head = list(rows[0])
    lines = [
        head,
        ["---"] * len(head),
        *([("" if r[h] is None else r[h]) for h in head] for r in rows),
    ]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
