from __future__ import annotations

import pytest

from edgenn.errors import UsageError
from edgenn.runtime.engines import Extras
from edgenn.runtime.foreign._labels import choose_labels, has_background, named
from edgenn.runtime.foreign._metadata import read_metadata, split_lines


def test_the_dict_of_names_that_ultralytics_writes():
    said = read_metadata(
        Extras({"names": "{0: 'cat', 1: \"dog's\"}", "imgsz": "[320, 640]", "stride": "32",
                "task": "detect"})
    )  # fmt: skip
    assert said.labels == ("cat", "dog's")
    assert said.size == (320, 640)
    assert said.is_ultralytics


def test_the_same_packed_into_a_tflite_file():
    text = '{"names": {"0": "cat", "1": "dog"}, "imgsz": [64, 64], "author": "Ultralytics"}'
    said = read_metadata(Extras(files={"metadata.json": text}))
    assert said.labels == ("cat", "dog")
    assert said.size == (64, 64)
    assert said.is_ultralytics


@pytest.mark.parametrize(
    "names",
    ["__import__('os').system('true')", "{0: 'a', 2: 'b'}", "[" * 500, "{" * 9, "x" * 300_000],
)
def test_names_that_make_no_list_count_as_not_said(names):
    assert read_metadata(Extras({"names": names})).labels == ()


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("character", "0\n90\n180"),
        ("id2label", '{"0": "0", "1": "90", "2": "180"}'),
        ("classes", "['0', '90', '180']"),
    ],
)
def test_names_under_other_keys_are_found(key, text):
    said = read_metadata(Extras({key: text, "version": "3"}))
    assert said.labels == ("0", "90", "180")
    assert key in said.labels_from


def test_numbers_before_the_names_are_left_out():
    assert split_lines("0 person\n1: red car\n") == ("person", "red car")
    assert split_lines("3 of hearts\n4 of hearts") == ("3 of hearts", "4 of hearts")


@pytest.mark.parametrize(
    ("layout", "classes", "number", "name"),
    [
        ("classes", 1001, 0, "background"),
        ("classes", 1000, 88, "macaw"),
        ("ssd", 90, 89, "toothbrush"),
        ("ssd", 91, 1, "person"),
        ("yolox", 80, 16, "dog"),
        ("yolox", 3, 2, "class 2"),
    ],
)
def test_lists_that_everybody_uses_are_known(layout, classes, number, name):
    labels, _ = choose_labels((), read_metadata(Extras()), classes, layout)
    assert len(labels) == classes
    assert labels[number] == name


@pytest.mark.parametrize("first", ["???", "background"])
def test_a_list_that_counts_the_background_loses_it(first):
    given = (first, "cat", "dog")
    assert has_background(given)
    assert choose_labels(given, read_metadata(Extras()), 2, "ssd_post")[0] == ("cat", "dog")
    assert choose_labels(given, read_metadata(Extras()), 3, "classes")[0] == given


def test_names_of_a_family_stand_behind_those_of_the_file():
    said = read_metadata(Extras({"names": "['hand']"}))
    assert choose_labels((), said, 1, "blaze", ("palm",))[0] == ("hand",)
    assert choose_labels((), read_metadata(Extras()), 1, "blaze", ("palm",))[0] == ("palm",)
    assert choose_labels((), read_metadata(Extras()), 2, "blaze", ("palm",))[0][0] == "class 0"


def test_a_list_of_another_length_is_refused(tmp_path):
    (tmp_path / "l.txt").write_text("a\nb\nc\nd\n")
    with pytest.raises(UsageError, match="4 names, but the model has 2"):
        choose_labels(named(str(tmp_path / "l.txt")), read_metadata(Extras()), 2, "yolox")


def test_names_in_the_configuration_of_hugging_face(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "vit", "id2label": {"1": "dog", "0": "cat, tabby"}}')
    assert named(str(path)) == ("cat, tabby", "dog")
    path.write_text('{"model_type": "vit"}')
    with pytest.raises(UsageError, match=r"config\.json has no names"):
        named(str(path))
