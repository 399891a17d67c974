from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgenn.data import Picture
from edgenn.data.load import load_dataset
from edgenn.recipe.schema import Recipe


def _photos(folder: Path, count: int) -> Path:
    rng = np.random.default_rng(count)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for i in range(count):
        picture = rng.integers(0, 255, (64, 64, 3), np.uint8)
        cv2.imwrite(str(folder / "images" / f"{folder.name}{i}.png"), picture)
        (folder / "labels" / f"{folder.name}{i}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    return folder


def test_more_data_is_trained_on_and_never_validated_on(tmp_path: Path) -> None:
    base, more = _photos(tmp_path / "base", 10), _photos(tmp_path / "more", 7)

    def recipe(*further: Path) -> Recipe:
        data = {
            "format": "yolo",
            "path": str(base),
            "more": [str(path) for path in further],
            "labels": ["person"],
            "split": {"by": "sample"},
        }
        net = {"family": "csp", "size": "n"}
        return Recipe.model_validate({"name": "x", "task": "detect", "data": data, "net": net})

    alone, both = load_dataset(recipe()), load_dataset(recipe(more))
    assert [v.group for v in both.val] == [v.group for v in alone.val]
    assert len(both.train) == len(alone.train) + 7
    assert sum(isinstance(p, Picture) and "more" in p.path.parts for p in both.train) == 7
    assert both.sha256 != alone.sha256
