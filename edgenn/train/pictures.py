"""Pictures of a training: curves, confusion, sample detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgenn.bundle.store import atomically
from edgenn.train.matching import Curve
from edgenn.types import Detections, Floats, Image

# BGR
TRUE, FOUND = (80, 200, 80), (40, 120, 255)
TILE = 320


def curves(history: Sequence[dict[str, float]], metric: str, path: Path) -> None:
    """Draw losses and the main metric over the epochs."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in history]
    for name in [n for n in history[0] if n.startswith("loss")]:
        left.plot(epochs, [row[name] for row in history], marker=".", label=name)
    left.set(xlabel="epoch", ylabel="training loss")
    left.legend()
    measured = [row for row in history if metric in row]
    values = [row[metric] for row in measured]
    right.plot([row["epoch"] for row in measured], values, marker=".", color="tab:green")
    right.set(xlabel="epoch", ylabel=metric, ylim=(0, 1))
    right.set_title(f"best {max(values, default=0):.3f}")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    _save(figure, path)


def precision_recall(lines: Mapping[str, Curve], path: Path) -> None:
    """Draw precision over recall, and F1 over the confidence threshold.

    Args:
        lines: Class to its curve.
        path: PNG to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, line in lines.items():
        left.plot(line.recall, line.precision, label=name)
        right.plot(line.scores, line.f1)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    right.set(xlabel="conf", ylabel="F1", xlim=(0, 1), ylim=(0, 1.02))
    if len(lines) <= 20:
        left.legend()
    for axes in (left, right):
        axes.grid(alpha=0.3)
    _save(figure, path)


def confusion(counts: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """Draw (C, C) counts, row: truth, column: prediction; and the same as shares of each row."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = max(4.0, 0.45 * len(labels) + 1.5)
    figure = Figure(figsize=(2 * side, side), layout="constrained")
    texts = {"samples": counts.astype(str), "share of the class": np.char.mod("%.2f", shares)}
    for axes, (title, cells) in zip(figure.subplots(1, 2), texts.items(), strict=True):
        # Colours are shares on both sides, or a frequent class would drown the others.
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="predicted", ylabel="true", title=title)
        if len(labels) <= 30:
            _write_cells(axes, cells, shares)
    _save(figure, path)


def detections(
    samples: Sequence[tuple[Image, Detections, Floats, NDArray[np.int64]]], path: Path
) -> None:
    """Draw frames with what was found (orange) and what is there (green).

    Args:
        samples: BGR frame, detections to show, true boxes in frame pixels, true class ids.
        path: PNG to write.
    """
    tiles = [_tile(*sample) for sample in samples]
    columns = min(4, len(tiles))
    tiles += [np.full((TILE, TILE, 3), 255, np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    done, png = cv2.imencode(".png", np.vstack(rows))
    assert done
    atomically(path, lambda temporary: _write(temporary, png.tobytes()))


def _tile(frame: Image, found: Detections, boxes: Floats, class_ids: NDArray[np.int64]) -> Image:
    scale = TILE / max(frame.shape[:2])
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    tile: Image = np.full((TILE, TILE, 3), 255, np.uint8)
    tile[: small.shape[0], : small.shape[1]] = small[:TILE, :TILE]
    for box, class_id in zip(boxes * scale, class_ids, strict=True):
        _box(tile, box, found.labels[int(class_id)], TRUE, below=True)
    for i, box in enumerate(found.boxes * scale):
        _box(tile, box, f"{found.name(i)} {found.scores[i]:.2f}", FOUND, below=False)
    return tile


def _box(tile: Image, box: Floats, text: str, colour: tuple[int, int, int], *, below: bool) -> None:
    x1, y1, x2, y2 = (round(float(v)) for v in box)
    cv2.rectangle(tile, (x1, y1), (x2, y2), colour, 2)
    y = min(y2 - 4, TILE - 4) if below else max(y1 + 12, 12)
    # ASCII alone: OpenCV's fonts have no other letters.
    plain = text.encode("ascii", "replace").decode()
    for width, shade in ((3, (0, 0, 0)), (1, colour)):
        cv2.putText(tile, plain, (x1 + 3, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, shade, width)


def _write_cells(axes: Axes, texts: NDArray[np.str_], shares: NDArray[np.float64]) -> None:
    for (row, column), share in np.ndenumerate(shares):
        if share:
            colour = "white" if share > 0.6 else "black"
            text = str(texts[row, column])
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)


def _save(figure: Figure, path: Path) -> None:
    def write(temporary: Path) -> None:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight", pad_inches=0.1)

    atomically(path, write)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
