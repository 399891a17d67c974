from __future__ import annotations

import pytest

from edgenn.data.check import check_data, check_recipe
from edgenn.recipe.schema import Data


@pytest.fixture
def pictures(photo, write, tmp_path):
    for side in ("train", "val"):
        for i in range(5):
            photo(f"images/{side}/{i}.jpg")
            write(f"labels/{side}/{i}.txt", "0 .5 .5 .2 .2\n" * (i + 1))
    write("classes.txt", "cat\ndog\n")
    return tmp_path


def test_counts_per_class_and_side(pictures):
    report = check_data(Data(format="yolo", path=""), pictures)
    assert report.counts() == {
        "train": {"cat": {"pictures": 5, "boxes": 15}},
        "val": {"cat": {"pictures": 5, "boxes": 15}},
    }
    assert (report.bad, report.total, report.fault) == (0, 10, "")


def test_recipe_decides_the_sides(pictures, recipe):
    asked = recipe("yolo", {"split": {"val": 0.3, "group": r"(train|val)"}})
    report = check_recipe(asked, pictures)
    assert report.groups() in (
        {"train": ["train"], "val": ["val"]},
        {"train": ["val"], "val": ["train"]},
    )


def test_what_a_training_would_refuse_is_still_counted(pictures, recipe):
    for i in range(3):
        (pictures / f"labels/val/{i}.txt").write_text("5 .5 .5 .2 .2")
    report = check_recipe(recipe("yolo"), pictures)
    assert "3 of 10 samples are bad" in report.fault
    assert report.counts() == {"all": {"cat": {"pictures": 7, "boxes": 24}}}
    assert (
        "names no samples"
        in check_recipe(
            recipe("yolo", {"split": {"by": "given"}, "max_bad": 0.5}), pictures / "images/train"
        ).fault
    )


def test_recordings(write, tmp_path):
    rows = [f"{i / 10},{i},{'a' if i < 30 else 'b'}" for i in range(50)]
    write("x.csv", "\n".join(["time,x,label", *rows]))
    report = check_data(Data(format="csv", path=""), tmp_path)
    assert report.counts() == {
        "all": {"a": {"recordings": 1, "readings": 30}, "b": {"recordings": 1, "readings": 20}}
    }
