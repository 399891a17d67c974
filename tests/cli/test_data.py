from __future__ import annotations

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

RECIPE = """
name: signs
task: classify
data: {format: imagefolder, path: PATH, split: {val: 0.25}}
net: {family: dscnn}
"""


def edgenn(*arguments, cwd, code=0):
    """Run the command as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", "data", "check", *map(str, arguments)],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done


@pytest.fixture
def signs(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for i in range(40):
            image = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
            cv2.imwrite(str(tmp_path / "data" / name / f"{i:02}.jpg"), image)
    return tmp_path / "data"


def damage(folder, count):
    for path in sorted(folder.rglob("*.jpg"))[:count]:
        path.write_bytes(path.read_bytes()[:-200])


def test_folder(signs, tmp_path):
    damage(signs, 1)
    out = edgenn("data", cwd=tmp_path).stdout
    assert "one              39\n" in out
    assert "1 bad, left out:\n  one/00.jpg: truncated JPEG" in out
    assert "1 of 80 samples are bad (1.2%)" in out
    assert cv2.imread(str(tmp_path / "data-sheet.png")) is not None


def test_recipe_as_json(signs, tmp_path):
    (tmp_path / "signs.yaml").write_text(RECIPE.replace("PATH", str(signs)))
    found = json.loads(edgenn("signs.yaml", "--json", "--out", "s.png", cwd=tmp_path).stdout)
    assert found["samples"] == {"train": 60, "val": 20}
    assert found["counts"]["val"] == {"one": {"pictures": 10}, "two": {"pictures": 10}}
    assert found["problems"] == []
    assert found["sheet"] == "s.png"


def test_too_many_bad_files_exit_with_five(signs, tmp_path):
    damage(signs, 30)
    done = edgenn("data", cwd=tmp_path, code=5)
    assert done.stdout.count("truncated JPEG") == 20
    assert "... and 10 more; --all lists them" in done.stdout
    assert done.stderr.startswith("edgenn: 30 of 80 samples are bad")
    assert edgenn("data", "--all", cwd=tmp_path, code=5).stdout.count("truncated JPEG") == 30


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["nowhere"], 5, "no data at nowhere"),
        (["data", "--format", "vco"], 2, "voc"),
        (["signs.yaml", "--format", "voc"], 2, "a recipe says its format itself"),
        (["data", "--data", "data"], 2, "--data goes with a recipe"),
        (["signs.yaml"], 5, "there is no data at PATH"),
        (["broken.yaml"], 4, "not valid YAML"),
        (["data", "--format", "csv"], 5, "holds no .csv file"),
    ],
)
def test_mistakes_get_one_sentence(signs, tmp_path, arguments, code, reason):
    (tmp_path / "signs.yaml").write_text(RECIPE)
    (tmp_path / "broken.yaml").write_text("name: [")
    done = edgenn(*arguments, cwd=tmp_path, code=code)
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_data_in_place_of_the_recipes(signs, tmp_path):
    (tmp_path / "signs.yaml").write_text(RECIPE)
    assert "train: 60 samples" in edgenn("signs.yaml", "--data", signs, cwd=tmp_path).stdout
