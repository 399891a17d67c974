from __future__ import annotations

import numpy as np
import pytest

from edgenn.data.readers.yolo import label_file
from edgenn.errors import DataError


def by_name(raw):
    return {p.path.name: p for p in raw.pictures}


def test_shares_become_pixels(read, photo, write):
    photo("images/a.jpg", (60, 80))
    write("labels/a.txt", "1 0.5 0.5 0.25 0.5\n0 0.1 0.1 0.1 0.1\n")
    write("classes.txt", "cat\ndog\n")
    raw = read("yolo")
    assert raw.labels == ("cat", "dog")
    assert raw.pictures[0].class_ids.tolist() == [1, 0]
    np.testing.assert_allclose(raw.pictures[0].boxes, [[30, 15, 50, 45], [4, 3, 12, 9]], atol=1e-4)
    assert raw.problems == ()


def test_data_yaml_with_path_lists_and_dict_names(read, photo, write):
    photo("set/pictures/images/1.jpg")
    photo("set/pictures/images/2.jpg")
    photo("set/val/images/3.jpg")
    photo("set/test/images/4.jpg")
    write("set/train.txt", "pictures/images/1.jpg\n./pictures/images/2.jpg\n\n")
    write("set/pictures/labels/1.txt", "7 0.5 0.5 0.2 0.2\n")
    write(
        "conf/data.yaml",
        "path: ../set\ntrain: train.txt\nval: [val/images]\ntest: test/images\n"
        "names: {7: fox, 2: cat}\n",
    )
    raw = read("yolo", "conf/data.yaml")
    assert raw.labels == ("cat", "fox")
    found = by_name(raw)
    assert {n: p.split for n, p in found.items()} == {
        "1.jpg": "train", "2.jpg": "train", "3.jpg": "val",
    }  # fmt: skip
    assert found["1.jpg"].class_ids.tolist() == [1]


def test_test_set_validates_where_there_is_no_other(read, photo, write):
    photo("train/images/1.jpg")
    photo("test/images/2.jpg")
    write("data.yaml", "train: ../train/images\ntest: ../test/images\nnc: 2\n")
    raw = read("yolo")
    assert {n: p.split for n, p in by_name(raw).items()} == {"1.jpg": "train", "2.jpg": "val"}
    assert raw.labels == ("0", "1")


def test_polygon_becomes_its_bounds(read, photo, write):
    photo("images/a.jpg", (100, 100))
    write("labels/a.txt", "0 0.1 0.2 0.5 0.1 0.3 0.6\n")
    raw = read("yolo")
    np.testing.assert_allclose(raw.pictures[0].boxes, [[10, 10, 50, 60]], atol=1e-4)


def test_pictures_without_labels_are_background(read, photo, write):
    photo("images/a.jpg")
    photo("images/b.jpg")
    photo("images/c.jpg")
    write("labels/a.txt", "0 .5 .5 .2 .2")
    write("labels/b.txt", "\n")
    raw = read("yolo")
    assert [len(p.boxes) for p in raw.pictures] == [1, 0, 0]
    # A file that is there but empty may be a slip, so it is mentioned.
    assert [(p.file, p.mended) for p in raw.problems] == [("labels/b.txt", True)]


def test_recipe_names_the_ids_of_a_bare_folder(read, photo, write):
    photo("images/a.jpg")
    write("labels/a.txt", "0 .5 .5 .2 .2\n56 .5 .5 .4 .4\n")
    assert read("yolo").labels[56] == "56"
    raw = read("yolo", labels=["person"])
    assert raw.labels == ("person",)
    assert raw.pictures[0].class_ids.tolist() == [0]
    raw = read("yolo", labels=["56", "0"])
    assert raw.pictures[0].class_ids.tolist() == [1, 0]


def test_labels_choose_and_order_classes(read, photo, write):
    photo("images/a.jpg")
    write("labels/a.txt", "0 .5 .5 .2 .2\n1 .5 .5 .3 .3\n2 .5 .5 .4 .4\n")
    write("classes.txt", "a\nb\nc\n")
    raw = read("yolo", labels=["c", "a"])
    assert raw.labels == ("c", "a")
    assert raw.pictures[0].class_ids.tolist() == [1, 0]
    with pytest.raises(DataError, match=r"no class 'cc'; did you mean 'c'"):
        read("yolo", labels=["cc"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("3 .5 .5 .2 .2", "class id 3 is not among the 1 names"),
        ("0 .5 .5 .2", "line 1 has 4 values"),
        ("0 .5 .5 .2 .2 .9", "line 1 has 6 values"),
        ("0 .5 x .2 .2", "line 1 has a value that is not a number"),
        ("0 .5 .5 0 .2", "has no area"),
        ("0 .5 nan .2 .2", "has no area"),
        ("0 1.2 .5 .2 .2", "lies outside the picture of 80 x 60"),
        ("0 .97 .97 .2 .2", "lies outside the picture"),
    ],
)
def test_bad_lines_leave_the_picture_out(read, photo, write, told, line, reason):
    photo("images/a.jpg")
    photo("images/b.jpg")
    write("labels/a.txt", "0 .5 .5 .2 .2")
    write("labels/b.txt", line)
    write("classes.txt", "cat")
    raw = read("yolo")
    assert [p.path.name for p in raw.pictures] == ["a.jpg"]
    ((file, said),) = told(raw).items()
    assert file in ("labels/b.txt", "images/b.jpg")
    assert reason in said


def test_box_half_inside_is_cut(read, photo, write, told):
    photo("images/a.jpg", (100, 100))
    write("labels/a.txt", "0 .95 .5 .2 .2")
    raw = read("yolo")
    np.testing.assert_allclose(raw.pictures[0].boxes, [[85, 40, 100, 60]], atol=1e-4)
    assert "partly outside" in told(raw, mended=True)["images/a.jpg"]


def test_pixel_of_rounding_is_not_worth_a_word(read, photo, write):
    photo("images/a.jpg", (100, 100))
    write("labels/a.txt", "0 .5 .5 1.01 1.01")
    raw = read("yolo")
    assert raw.problems == ()
    assert raw.pictures[0].boxes.tolist() == [[0, 0, 100, 100]]


def test_labels_without_picture(read, photo, write, told):
    photo("images/a.jpg")
    write("labels/lost.txt", "0 .5 .5 .2 .2")
    write("classes.txt", "cat")
    assert "no picture" in told(read("yolo"))["labels/lost.txt"]


def test_copies(read, photo, write, told, tmp_path):
    first = photo("images/a.jpg").read_bytes()
    for name in ("b", "c"):
        (tmp_path / f"images/{name}.jpg").write_bytes(first)
    write("labels/a.txt", "0 .5 .5 .2 .2")
    write("labels/b.txt", "0 .5 .5 .2 .2")
    write("labels/c.txt", "0 .5 .5 .4 .4")
    raw = read("yolo")
    assert [p.path.name for p in raw.pictures] == ["a.jpg"]
    assert told(raw, mended=True) == {"images/b.jpg": "duplicate of images/a.jpg; left out"}
    assert told(raw) == {"images/c.jpg": "duplicate of images/a.jpg with other labels"}


def test_label_beside_picture_in_a_folder_called_images(photo, write):
    picture = photo("images/set/a.jpg")
    beside = write("images/set/a.txt", "")
    assert label_file(picture) == beside
    beside.unlink()
    assert label_file(picture).parts[-3:] == ("labels", "set", "a.txt")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("train: nowhere\nnames: [a]", "nowhere"),
        ("names: [a]", "no key train"),
        ("train: [\n", "not a data.yaml"),
    ],
)
def test_data_yaml_that_makes_no_sense(read, write, text, reason):
    write("data.yaml", text)
    with pytest.raises(DataError, match=reason):
        read("yolo")


def test_group_from_the_path(read, photo, told):
    for name in ("anna_1", "anna_2", "ben_1", "x"):
        photo(f"images/{name}.jpg")
    raw = read("yolo", labels=["a"], split={"group": r"images/([a-z]+)_"})
    assert [p.group for p in raw.pictures] == ["anna", "anna", "ben"]
    assert "no group" in told(raw)["images/x.jpg"]


def test_real_photos(real_data):
    from edgenn.data.readers.yolo import read as read_yolo
    from edgenn.recipe.schema import Data

    spec = Data(format="yolo", path="", labels=["person"])
    raw = read_yolo(spec, real_data / "detection/coco128-train")
    assert len(raw.pictures) == 128
    assert sum(len(p.boxes) for p in raw.pictures) == 254
