"""Data that detectors are given in the wild: a sentence, or a detector that works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from generated import COLOURS, canvas, draw
from PIL import Image as Pillow

RECIPE = {
    "name": "odd",
    "task": "detect",
    "data": {"format": "yolo", "path": "data", "split": {"by": "sample", "val": 0.25}},
    "input": {"imgsz": [64, 96]},
    "net": {"family": "csp", "size": "n"},
    "augment": {"mosaic": 0.5, "mixup": 0.3, "multiscale": [0.8, 1.3]},
    "train": {"epochs": 2, "batch": 4, "workers": 0},
}


@pytest.fixture
def data(tmp_path):
    """A folder of pictures with a square each; gives what writes one more."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    (root / "data.yaml").write_text("train: images\nnames: [square, ghost]\n")

    def add(name: str, side: int = 96, label: str = "0 .5 .5 .5 .5") -> np.ndarray:
        image = cv2.resize(canvas(rng, 96), (side, side), interpolation=cv2.INTER_NEAREST)
        draw(image, 0, (side // 4, side // 4, side * 3 // 4, side * 3 // 4), COLOURS[0])
        cv2.imwrite(str(root / "images" / name), image)
        (root / "labels" / name).with_suffix(".txt").write_text(label)
        return image

    return root, add


def type_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", *arguments],
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done


def train(folder: Path, **changes: object) -> subprocess.CompletedProcess[str]:
    (folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **changes}))
    return type_in(folder, "train", "recipe.yaml", "--device", "cpu")


def test_one_picture_is_too_few_and_one_sentence_says_so(data, tmp_path):
    data[1]("a.png")
    done = train(tmp_path)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "split" in done.stderr


def test_huge_grey_deep_turned_and_printed_pictures_train(data, tmp_path):
    root, add = data
    for i in range(8):
        add(f"plain{i}.png")
    add("huge.jpg", 4000)
    add("grey.png")
    grey = cv2.imread(str(root / "images/grey.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(root / "images/grey.png"), grey)
    deep = add("deep.png").astype(np.uint16) * 257
    cv2.imwrite(str(root / "images/deep.png"), deep)
    turned = Pillow.fromarray(add("turned.jpg")[..., ::-1])
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(root / "images/turned.jpg", exif=exif)
    Pillow.fromarray(add("printed.jpg")[..., ::-1]).convert("CMYK").save(
        root / "images/printed.jpg"
    )
    done = train(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "bad" not in done.stderr
    assert (tmp_path / "runs/odd/best.safetensors").is_file()


def test_class_without_a_box_is_left_out_of_the_mean_all_the_way(data, tmp_path):
    for i in range(12):
        data[1](f"{i}.png")
    assert train(tmp_path).returncode == 0
    for line in (
        ("export", "runs/odd", "--format", "onnx", "--max-drop", "1", "--out", "odd.edgenn"),
        ("eval", "odd.edgenn", "--data", "data", "--out", "eval"),
    ):
        done = type_in(tmp_path, *line)
        assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "eval/eval.json").read_text())
    assert list(found["classes"]) == ["square"]
    assert found["mAP50-95"] == found["classes"]["square"]["mAP50-95"]


def test_pictures_without_any_box_have_nothing_to_teach(data, tmp_path):
    for i in range(8):
        data[1](f"{i}.png", label="")
    done = train(tmp_path)
    assert done.returncode != 0
    assert "no boxes" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ("7 .5 .5 .5 .5", "class id 7 is not among the 2 names"),
        ("0 .5 .5 0 .5", "has no area"),
    ],
)
def test_wrong_labels_stop_a_training_that_they_fill(data, tmp_path, label, says):
    for i in range(8):
        data[1](f"{i}.png", label=label if i < 4 else "0 .5 .5 .5 .5")
    done = train(tmp_path)
    assert done.returncode != 0
    assert says in done.stderr
    assert "edgenn data check" in done.stderr
