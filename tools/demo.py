"""What a bundle recognised in a recording, beside what was done, and the bundle's report."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

from edgenn.bundle.store import open_bundle

# Seconds after which an exercise should be recognised.
SETTLE = 2.0


def stretches(recording: Path) -> list[tuple[str, float, float]]:
    """Label, start and end in seconds of every stretch of one label in a CSV."""
    with recording.open(newline="", encoding="utf-8") as file:
        rows = [(row["label"], float(row["time"])) for row in csv.DictReader(file)]
    found = []
    for label, group in itertools.groupby(rows, key=lambda row: row[0]):
        times = [time for _, time in group]
        found.append((label, times[0], times[-1]))
    return found


def compare(results: Path, recording: Path) -> None:
    """Print a line per stretch; what is said from `SETTLE` seconds on counts."""
    with results.open(encoding="utf-8") as file:
        said = [(line["time"], line["labels"][0]["label"]) for line in map(json.loads, file)]
    print(f"{'from':>7} {'to':>7}    {'done':<22} {'recognised':<22} steps right")
    right = total = named = 0
    truth = stretches(recording)
    for label, start, end in truth:
        inside = Counter(name for time, name in said if start + SETTLE <= time <= end + 1e-6)
        best = inside.most_common(1)[0][0] if inside else "-"
        named += best == label
        right += inside[label]
        total += inside.total()
        share = f"{inside[label]:>4} of {inside.total()}"
        print(f"{start:6.0f}s {end:6.0f}s    {label:<22} {best:<22} {share}")
    print(f"recognised {named} of {len(truth)} exercises, {right} of {total} steps right")


def main(bundle: Path, results: Path, recording: Path, report: Path) -> None:
    """Compare, and take the report out of the bundle."""
    opened = open_bundle(bundle)
    compare(results, recording)
    report.write_bytes(opened.read("report.html"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
