from __future__ import annotations

import json

import pytest

from edgenn.errors import DataError

CATEGORIES = [{"id": 44, "name": "bottle"}, {"id": 1, "name": "person"}]


def instances(files, boxes, size=(60, 80)):
    return json.dumps(
        {
            "images": [
                {"id": i, "file_name": name, "height": size[0], "width": size[1]}
                for i, name in enumerate(files)
            ],
            "annotations": [
                {"id": n, "image_id": i, "category_id": c, "bbox": box, "iscrowd": crowd}
                for n, (i, c, box, crowd) in enumerate(boxes)
            ],
            "categories": CATEGORIES,
        }
    )


def test_official_layout(read, photo, write):
    photo("train2017/1.jpg")
    photo("train2017/2.jpg")
    photo("val2017/3.jpg")
    boxes = [
        (0, 44, [10, 20, 30, 5], 0),
        (0, 1, [0, 0, 8, 9], 0),
        (1, 1, [0, 0, 80, 60], 1),
    ]
    write("annotations/instances_train2017.json", instances(["1.jpg", "2.jpg"], boxes))
    write("annotations/instances_val2017.json", instances(["3.jpg"], []))
    write("annotations/captions_val2017.json", '{"images": [], "annotations": []}')
    raw = read("coco")
    assert raw.labels == ("person", "bottle")
    found = {p.path.name: p for p in raw.pictures}
    assert found["1.jpg"].class_ids.tolist() == [1, 0]
    assert found["1.jpg"].boxes.tolist() == [[10, 20, 40, 25], [0, 0, 8, 9]]
    assert len(found["2.jpg"].boxes) == 0  # crowds are passed over
    assert {n: p.split for n, p in found.items()} == {
        "1.jpg": "train", "2.jpg": "train", "3.jpg": "val",
    }  # fmt: skip
    assert read("coco", labels=["bottle"]).pictures[0].class_ids.tolist() == [0]


@pytest.mark.parametrize("folder", ["", "images/", "deep/annotations/../../images/"])
def test_single_file(read, photo, write, folder):
    photo(f"{folder}1.jpg")
    write("some.json", instances(["1.jpg"], [(0, 1, [1, 1, 9, 9], 0)]))
    assert len(read("coco", "some.json").pictures[0].boxes) == 1


def test_file_per_side_beside_its_pictures(read, photo, write):
    for side in ("train", "valid"):
        photo(f"{side}/{side}.jpg")
        write(f"{side}/_annotations.coco.json", instances([f"{side}.jpg"], []))
    raw = read("coco")
    assert {p.path.stem: p.split for p in raw.pictures} == {"train": "train", "valid": "val"}


def test_problems(read, photo, write, told):
    for name in ("a", "b", "c", "d", "e"):
        photo(f"{name}.jpg")
    boxes = [
        (0, 1, [1, 1, 9, 9], 0),
        (1, 7, [1, 1, 9, 9], 0),
        (2, 1, [1, 1, 0, 9], 0),
        (3, 1, [1, 1, 9], 0),
        (9, 1, [1, 1, 9, 9], 0),
    ]
    files = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "gone.jpg"]
    write("x.json", instances(files, boxes))
    raw = read("coco")
    assert [p.path.name for p in raw.pictures] == ["a.jpg"]
    found = told(raw)
    assert "category id 7" in found["b.jpg"]
    assert "no area" in found["c.jpg"]
    assert "no bbox" in found["d.jpg"]
    assert "cannot be read" in found["gone.jpg"]
    assert "unknown image id 9" in found["x.json"]


def test_size_of_the_picture_before_its_rotation(read, photo, write, told):
    photo("a.jpg", (60, 80))
    write("x.json", instances(["a.jpg"], [(0, 1, [1, 1, 9, 9], 0)], size=(80, 60)))
    assert "EXIF" in told(read("coco"))["a.jpg"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a json"),
        ('{"images": [], "categories": []}', "no annotations"),
        ('{"images": [{}], "annotations": [], "categories": []}', "not COCO: KeyError"),
        ("[]", "no annotations"),
    ],
)
def test_not_coco(read, write, text, reason):
    write("x.json", text)
    with pytest.raises(DataError, match=reason):
        read("coco", "x.json")
