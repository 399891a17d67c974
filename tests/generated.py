"""Small generated data sets that a small net can learn in seconds; fixtures for all tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgenn.recipe.schema import Recipe

# Drawn so that neither colour nor place alone gives the class away.
COLOURS = ((60, 60, 220), (220, 120, 60), (60, 200, 90))


def draw(image: np.ndarray, kind: int, box: tuple[int, int, int, int], colour: tuple) -> None:
    x1, y1, x2, y2 = box
    middle = ((x1 + x2) // 2, (y1 + y2) // 2)
    if kind == 0:
        cv2.rectangle(image, (x1, y1), (x2 - 1, y2 - 1), colour, -1)
    elif kind == 1:
        half = ((x2 - x1) // 2, (y2 - y1) // 2)
        cv2.ellipse(image, middle, half, 0, 0, 360, colour, -1)
    else:
        corners = np.array([(x1, y2 - 1), (x2 - 1, y2 - 1), (middle[0], y1)])
        cv2.fillPoly(image, [corners], colour)


def canvas(rng: np.random.Generator, side: int) -> np.ndarray:
    return rng.integers(0, 50, (side, side, 3)).astype(np.uint8)


@pytest.fixture(scope="session")
def boxes_data(tmp_path_factory) -> Path:
    """YOLO: red squares and blue discs, 144 pictures of 80 x 64 pixels."""
    root = tmp_path_factory.mktemp("boxes")
    rng = np.random.default_rng(0)
    for i in range(144):
        image = canvas(rng, 80)[:64]
        lines = []
        for left in (0, 40)[: 1 + i % 2]:
            kind = int(rng.integers(0, 2))
            w, h = rng.integers(18, 36, 2)
            x, y = left + rng.integers(0, 40 - w), rng.integers(0, 64 - h)
            draw(image, kind, (x, y, x + w, y + h), COLOURS[kind])
            lines.append(f"{kind} {(x + w / 2) / 80} {(y + h / 2) / 64} {w / 80} {h / 64}")
        side = "train" if i < 120 else "val"
        for folder in ("images", "labels"):
            (root / folder / side).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / side / f"{i:03}.png"), image)
        (root / "labels" / side / f"{i:03}.txt").write_text("\n".join(lines))
    (root / "data.yaml").write_text("train: images/train\nval: images/val\nnames: [square, disc]\n")
    return root


@pytest.fixture(scope="session")
def shapes_data(tmp_path_factory) -> Path:
    """ImageFolder: squares, discs and triangles of any colour, 240 pictures of 32 pixels."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    for i in range(240):
        kind = i % 3
        image = canvas(rng, 32)
        w, h = rng.integers(16, 28, 2)
        x, y = rng.integers(0, 32 - w), rng.integers(0, 32 - h)
        draw(image, kind, (x, y, x + w, y + h), COLOURS[int(rng.integers(0, 3))])
        folder = root / ("square", "disc", "triangle")[kind]
        folder.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"{i:03}.png"), image)
    return root


@pytest.fixture(scope="session")
def waves_data(tmp_path_factory) -> Path:
    """Npz: slow, fast and still sine waves of six people, windows of 64 readings."""
    rng = np.random.default_rng(0)
    count, steps = 240, np.arange(64)
    y = np.arange(count) % 3
    period = np.where(y == 0, 24.0, 9.0) * rng.uniform(0.9, 1.1, count)
    phase = rng.uniform(0, 6, count)
    wave = np.sin(2 * np.pi * steps / period[:, None] + phase[:, None]) * (y < 2)[:, None]
    values = np.stack([wave, wave * 0.5], -1) + rng.normal(0, 0.1, (count, 64, 2))
    path = tmp_path_factory.mktemp("waves") / "waves.npz"
    np.savez(
        path,
        values=values.astype(np.float32),
        y=y,
        labels=np.array(["slow", "fast", "still"]),
        group=np.array([f"person{i // 3 % 6}" for i in range(count)]),
        rate=50.0,
    )
    return path


def recipe(task: str, data: Path, **train: object) -> Recipe:
    """A recipe for one of the data sets above."""
    sections = {
        "detect": {
            "data": {"format": "yolo", "path": str(data), "split": {"by": "given"}},
            "input": {"imgsz": [64, 96]},
            "net": {
                "family": "anchorfree",
                "size": "n",
                "options": {
                    "stem": 8,
                    "stages": [
                        [1, 8, 1, 1],
                        [2, 16, 1, 2],
                        [3, 24, 2, 2],
                        [3, 32, 1, 2],
                        [3, 48, 1, 2],
                    ],
                    "neck": 32,
                    "kernel": 3,
                },
            },
        },
        "classify": {
            "data": {"format": "imagefolder", "path": str(data), "split": {"by": "sample"}},
            "input": {"imgsz": 32},
            "net": {
                "family": "dscnn",
                "size": "n",
                "options": {"stages": [[1, 16, 1, 1], [3, 24, 1, 2], [3, 32, 1, 2]]},
            },
        },
        "sequence": {
            "data": {"format": "npz", "path": str(data)},
            "input": {"window": 64, "stride": 64},
            "net": {"family": "rnn", "size": "n"},
        },
    }[task]
    settings = {"epochs": 6, "batch": 16, "lr": 0.01, "workers": 0, **train}
    return Recipe.model_validate({"name": "tiny", "task": task, "train": settings, **sections})


@pytest.fixture(scope="session")
def make_recipe():
    return recipe
