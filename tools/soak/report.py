"""What is kept of a pass: tables, a report and a picture."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from __main__ import Soak


def write(soak: Soak) -> None:
    """Tables, report and picture."""
    for name, rows in (("samples", soak.samples), ("faults", soak.done)):
        if rows:
            with (soak.out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                table = csv.DictWriter(file, list(rows[0]))
                table.writeheader()
                table.writerows(rows)
    report = {"seconds": soak.now(), "results": len(soak.lines), "faults": len(soak.done)}
    report |= {"mqtt": len(soak.broker.frames), "mqtt_lost": soak.lost}
    report |= {"grown": soak.grown, "mb_per_hour": soak.slope, "sigterm_s": soak.took}
    report |= {"webhook": soak.hook.count, "seed": soak.args.seed, "wrong": soak.wrong}
    text = json.dumps(report, indent=1)
    (soak.out / "report.json").write_text(text + "\n", encoding="utf-8")
    print(text)
    _draw(soak)


def _draw(soak: Soak) -> None:
    """Memory, threads, descriptors and rate over time, the faults marked."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    at = [s["t"] for s in soak.samples]
    figure, axes = plt.subplots(4, 1, sharex=True, figsize=(12, 9), layout="constrained")
    for axis, what in zip(axes, ("anon_mb", "threads", "fds"), strict=False):
        axis.plot(at, [s[what] for s in soak.samples])
        axis.set_ylabel(what)
    counts = [s["lines"] for s in soak.samples]
    axes[3].plot(at[1:], np.diff(counts) / np.maximum(np.diff(at), 1e-3))
    axes[3].set_ylabel("results a second")
    axes[3].set_xlabel("seconds")
    for entry in soak.done:
        for axis in axes:
            axis.axvspan(entry["begin"], entry["end"], alpha=0.2, color="red", lw=0)
        axes[0].text(entry["begin"], axes[0].get_ylim()[1], entry["fault"], rotation=30)
    figure.savefig(soak.out / "soak.png", dpi=80)
