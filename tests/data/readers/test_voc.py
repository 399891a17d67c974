from __future__ import annotations

from collections import Counter

import pytest

from edgenn.data.readers.voc import read as read_voc
from edgenn.recipe.schema import Data


def xml(filename="a.jpg", objects=(("cat", (10, 10, 30, 40)),), size=(80, 60)):
    boxes = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{b[0]}</xmin><ymin>{b[1]}</ymin>"
        f"<xmax>{b[2]}</xmax><ymax>{b[3]}</ymax></bndbox></object>"
        for name, b in objects
    )
    return (
        f"<annotation><filename>{filename}</filename><size><width>{size[0]}</width>"
        f"<height>{size[1]}</height></size>{boxes}</annotation>"
    )


def test_beside_the_pictures(read, photo, write):
    photo("train/a.jpg")
    photo("test/b.png")
    write("train/a.xml", xml(objects=[("dog", (1, 2, 30, 40)), ("cat", (5.5, 6, 7, 8))]))
    write("test/b.xml", xml(filename="renamed.jpg", size=(0, 0)))
    raw = read("voc")
    assert raw.labels == ("cat", "dog")
    first, second = sorted(raw.pictures, key=lambda p: p.path.name)
    assert (first.split, second.split) == ("train", "val")
    assert first.class_ids.tolist() == [1, 0]
    assert first.boxes.tolist() == [[1, 2, 30, 40], [5.5, 6, 7, 8]]
    assert raw.problems == ()


def test_devkit_folders(read, photo, write):
    for name in ("a", "b", "c"):
        photo(f"VOC/JPEGImages/{name}.jpg")
        write(f"VOC/Annotations/{name}.xml", xml(f"{name}.jpg"))
    write("VOC/ImageSets/Main/train.txt", "a\nc  1\n")
    write("VOC/ImageSets/Main/val.txt", "b\n")
    raw = read("voc", "VOC")
    assert {p.path.stem: p.split for p in raw.pictures} == {"a": "train", "b": "val", "c": "train"}


def test_problems(read, photo, write, told):
    for name in "abcdefgh":
        photo(f"{name}.jpg")
    write("a.xml", xml())
    write("a2.xml", xml("a.jpg"))
    write("b.xml", "<annotation><object>")
    write("c.xml", xml(objects=[("", (1, 1, 9, 9))]))
    write("d.xml", xml(objects=[("cat", (1, "", 9, 9))]))
    write("e.xml", xml(objects=[("cat", (9, 9, 9, 20))]))
    write("f.xml", xml(size=(60, 80)))
    write("g.xml", "<!DOCTYPE x [<!ENTITY a 'aaaa'>]><annotation>&a;</annotation>")
    write("gone.xml", xml("gone.jpg"))
    write("h.xml", xml(objects=[]))
    raw = read("voc")
    assert {p.path.name for p in raw.pictures} == {"a.jpg", "h.jpg"}
    found = told(raw)
    wanted = {
        "a2.xml": "labels from another file",
        "b.xml": "not valid XML",
        "c.xml": "empty label",
        "d.xml": "no box of four numbers",
        "e.jpg": "no area",
        "f.jpg": "EXIF rotation",
        "g.xml": "entities",
        "gone.xml": "picture 'gone.jpg' is missing",
    }
    assert found.keys() == wanted.keys()
    for file, reason in wanted.items():
        assert reason in found[file]
    assert "empty label" in told(raw, mended=True)["h.xml"]


def test_classes_that_are_not_wanted_leave_background(read, photo, write):
    photo("a.jpg")
    photo("b.jpg")
    write("a.xml", xml(objects=[("dog", (1, 2, 30, 40)), ("cat", (5, 6, 70, 8))]))
    write("b.xml", xml(objects=[("dog", (1, 2, 30, 40))]))
    raw = read("voc", labels=["cat"])
    assert [p.boxes.tolist() for p in raw.pictures] == [[[5, 6, 70, 8]], []]


@pytest.mark.parametrize("by", ["train", "test"])
def test_real_photos(real_data, by):
    raw = read_voc(Data(format="voc", path=""), real_data / "detection/fruit" / by)
    assert not raw.problems
    assert len(raw.pictures) == {"train": 240, "test": 60}[by]
    boxes = Counter(raw.labels[i] for p in raw.pictures for i in p.class_ids)
    assert (
        boxes
        == {
            "train": {"apple": 156, "banana": 169, "orange": 140},
            "test": {"apple": 35, "banana": 40, "orange": 42},
        }[by]
    )
