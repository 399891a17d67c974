from __future__ import annotations

import pytest

from edgenn.errors import DataError


def test_folder_per_class(read, photo, told, tmp_path):
    photo("cat/1.jpg")
    photo("cat/more/2.png")
    photo("train/3.jpg")  # a vehicle: not all folders are named after sides
    photo("stray.jpg")
    (tmp_path / "empty").mkdir()
    raw = read("imagefolder")
    assert raw.labels == ("cat", "train")
    assert [p.class_ids.tolist() for p in raw.pictures] == [[0], [0], [1]]
    assert {p.split for p in raw.pictures} == {""}
    assert raw.pictures[0].boxes.shape == (0, 4)
    assert told(raw) == {
        "stray.jpg": "it lies in no class folder",
        "empty": "class folder without pictures",
    }


def test_sides(read, photo):
    for side in ("training", "validation", "test"):
        photo(f"{side}/b/1.jpg")
        photo(f"{side}/a/2.jpg")
    raw = read("imagefolder")
    assert raw.labels == ("a", "b")
    assert [(p.split, p.path.name) for p in raw.pictures] == [
        ("train", "2.jpg"), ("train", "1.jpg"), ("val", "2.jpg"), ("val", "1.jpg"),
    ]  # fmt: skip


def test_other_classes_are_passed_over(read, photo):
    for name in "abc":
        photo(f"{name}/1.jpg")
    raw = read("imagefolder", labels=["c", "a"])
    assert sorted((p.path.parent.name, *p.class_ids) for p in raw.pictures) == [("a", 1), ("c", 0)]


def test_damaged_file(read, photo, told):
    photo("a/1.jpg")
    path = photo("a/2.jpg")
    path.write_bytes(path.read_bytes()[:-80])
    raw = read("imagefolder")
    assert len(raw.pictures) == 1
    assert "truncated JPEG" in told(raw)["a/2.jpg"]


def test_no_folders(read, photo):
    photo("1.jpg")
    with pytest.raises(DataError, match="no pictures in class folders"):
        read("imagefolder")
