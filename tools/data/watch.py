"""Smartwatch recordings of shoulder exercises, from the seglearn wheel.

140 recordings of 10 people, 6 axes at 50 Hz, 7 exercises (Burns et al. 2018,
https://arxiv.org/abs/1802.01489; BSD-3-Clause). The wheel holds a pickle, which
is opened once, after its hash was checked, and written as ``.cache/watch.npz``.

    python tools/data/watch.py
    python tools/data/watch.py --csv-subject 9 --csv person.csv
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

import numpy as np
from _wheel import CACHE, extract

WHEEL = "seglearn==1.2.5"
SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
RATE = 50.0
NAMES = {
    "PEN": "pendulum",
    "ABD": "abduction",
    "FEL": "forward elevation",
    "IR": "internal rotation",
    "ER": "external rotation",
    "TRAP": "trapezius extension",
    "ROW": "upright row",
}


def convert(out: Path) -> None:
    """Write the recordings as plain arrays."""
    source = extract(WHEEL, SHA256, "seglearn/data/watch_dataset.npy")
    data = np.load(source, allow_pickle=True).item()
    lengths = [len(x) for x in data["X"]]
    temporary = out.with_name(f".{out.name}.tmp.npz")
    np.savez_compressed(
        temporary,
        values=np.concatenate(data["X"]).astype(np.float32),
        recording=np.repeat(np.arange(len(lengths)), lengths),
        y=np.asarray(data["y"], np.int64),
        labels=np.array([NAMES[label] for label in data["y_labels"]]),
        group=np.array([str(int(s)) for s in data["subject"]]),
        rate=RATE,
        channels=np.array(data["X_labels"]),
    )
    temporary.rename(out)
    print(f"{out}: {len(lengths)} recordings, {sum(lengths) / RATE / 60:.0f} minutes")


def join(source: Path, subject: str, out: Path) -> None:
    """Write one person's recordings, one after another, as a CSV with time and label."""
    with np.load(source) as data:
        arrays = {name: data[name] for name in data.files}
    chosen = np.flatnonzero(arrays["group"] == subject)
    if not len(chosen):
        raise SystemExit(f"there is no subject {subject}; there is {sorted(set(arrays['group']))}")
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    out.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *arrays["channels"], "label"])
        for recording in chosen:
            label = arrays["labels"][arrays["y"][recording]]
            for row in arrays["values"][arrays["recording"] == recording]:
                writer.writerow([f"{count / RATE:.2f}", *(f"{v:.6g}" for v in row), label])
                count += 1
    temporary.rename(out)
    print(f"{out}: {len(chosen)} recordings of subject {subject}, {count / RATE / 60:.1f} minutes")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=CACHE / "watch.npz")
    parser.add_argument("--csv", type=Path, help="also write one person's recordings here")
    parser.add_argument("--csv-subject", default="9", help="which person  [9]")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    if not args.out.is_file():
        convert(args.out)
    if args.csv:
        join(args.out, args.csv_subject, args.csv)


if __name__ == "__main__":
    main()
