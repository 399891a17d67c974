"""What a training leaves beside its checkpoints: tables and pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

import edgenn
from edgenn.bundle.store import write_text
from edgenn.ops.decode.ltrb import Params
from edgenn.train import build, checkpoint, pictures
from edgenn.train.checkpoint import BEST, MODEL
from edgenn.types import Detections, Prediction, Steps

if TYPE_CHECKING:
    from edgenn.train.setup import Session

EXAMPLES = 8


def write_history(folder: Path, history: Sequence[dict[str, float]], metric: str) -> None:
    """Write metrics.csv and curves.png."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in history)
    write_text(folder / "metrics.csv", text.getvalue())
    pictures.curves(history, metric, folder / "curves.png")


def finish(session: Session) -> None:
    """Measure the best weights once more, draw what they do, and sum the run up.

    Writes summary.json, and confusion.png or, for detectors, detections.png.
    """
    folder, recipe, progress = session.folder, session.recipe, session.progress
    _, tensors = checkpoint.read(folder / BEST)
    net = session.average.net
    checkpoint.fill(net, checkpoint.under(MODEL, tensors), folder / BEST)
    metrics, predictions = session.judge(net)
    if metrics.confusion is not None:
        pictures.confusion(metrics.confusion, session.header.labels, folder / "confusion.png")
    elif recipe.task == "detect":
        _draw_detections(session, predictions)
    summary = {
        "name": recipe.name,
        "task": recipe.task,
        "net": f"{recipe.net.family} {recipe.net.size}",
        "parameters": session.summary.parameters,
        "macs": session.summary.macs,
        "sees": session.summary.sees,
        "metric": metrics.name,
        "best": metrics.main,
        "best_epoch": progress.best_epoch,
        "epochs": progress.epoch,
        "extra": metrics.extra,
        "per_class": metrics.per_class,
        "train_samples": len(session.train_feed),
        "val_samples": len(session.val_feed),
        "seconds": round(progress.seconds, 1),
        "seed": recipe.seed,
        "data_sha256": session.header.data_sha256,
        "versions": {"edgenn": edgenn.__version__, "torch": str(torch.__version__)},
    }
    write_text(folder / "summary.json", json.dumps(summary, indent=1) + "\n")


def _draw_detections(session: Session, predictions: Sequence[Prediction | Steps]) -> None:
    feed = session.val_feed
    # What a user would be shown, not the whole ranking.
    conf = float(build.decode(session.recipe).params.get("conf", Params.conf))
    drawn = []
    for i in np.linspace(0, len(feed) - 1, min(EXAMPLES, len(feed))).round().astype(int).tolist():
        found = predictions[i]
        assert isinstance(found, Detections)
        sure = found.scores >= conf
        shown = Detections(
            found.boxes[sure], found.scores[sure], found.class_ids[sure], found.labels
        )
        drawn.append((np.asarray(feed.raw(i), np.uint8), shown, *feed.truth(i)))
    pictures.detections(drawn, session.folder / "detections.png")
