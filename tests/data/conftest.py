"""Small data sets, written as users would have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgenn import plugins
from edgenn.data import Raw, readers
from edgenn.recipe.schema import Data, Recipe

Photo = Callable[..., Path]


@pytest.fixture
def photo(tmp_path) -> Photo:
    """Writes a smooth picture, each unlike the ones before, and gives its path."""
    rng = np.random.default_rng(0)

    def write(name: str, size: tuple[int, int] = (60, 80)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 255, (4, 5, 3)).astype(np.uint8)
        image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        assert cv2.imwrite(str(path), image)
        return path

    return write


@pytest.fixture
def video(tmp_path) -> Callable[..., Path]:
    """Writes a video of noise, each unlike the ones before, and gives its path."""
    rng = np.random.default_rng(0)

    def write(name: str, frames: int = 12, size=(48, 64), fps: float = 10, colour=True) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        codec = cv2.VideoWriter.fourcc(*"MJPG")
        writer = cv2.VideoWriter(str(path), codec, fps, size[::-1], colour)
        assert writer.isOpened()
        for _ in range(frames):
            shape = (*size, 3) if colour else size
            writer.write(rng.integers(0, 255, shape).astype(np.uint8))
        writer.release()
        return path

    return write


@pytest.fixture
def write(tmp_path) -> Callable[[str, str], Path]:
    """Writes a text file."""

    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.fixture
def read(tmp_path) -> Callable[..., Raw]:
    """Reads what lies in the test's folder, or at a path in it."""

    def run(layout: str, at: str = "", **keys) -> Raw:
        spec = Data.model_validate({"format": layout, "path": "unused", **keys})
        return plugins.load(readers, layout).read(spec, tmp_path / at)

    return run


@pytest.fixture
def recipe() -> Callable[..., Recipe]:
    """A recipe for a layout, with some sections changed."""

    def make(layout: str, data=None, **sections) -> Recipe:
        sequences = dict.fromkeys(("csv", "npz", "mat", "points", "clips"), "sequence")
        task = {"imagefolder": "classify", **sequences}
        raw = {
            "name": "test",
            "task": task.get(layout, "detect"),
            "data": {"format": layout, "path": "unused", **(data or {})},
            "net": {"family": "unused"},
            **sections,
        }
        return Recipe.model_validate(raw)

    return make


def reasons(raw: Raw, *, mended: bool = False) -> dict[str, str]:
    """File to reason of the problems that are, or are not, mended."""
    return {p.file: p.reason for p in raw.problems if p.mended == mended}


@pytest.fixture
def told() -> Callable[..., dict[str, str]]:
    """File to reason of problems."""
    return reasons
