from __future__ import annotations

import csv
import itertools

import numpy as np
import pytest

import edgenn
from edgenn.data.label import Wishes, label, look
from edgenn.data.load import read_raw
from edgenn.errors import DataError, ModelError
from edgenn.recipe.schema import Data
from edgenn.runtime.foreign import load_any
from edgenn.runtime.sources import open_source
from edgenn.types import Detections, Frame

WISHES = Wishes(conf=0.5, change=0.005, parts=False)


@pytest.fixture
def teacher(tiny):
    return edgenn.load(tiny / "tiny-detect.edgenn", conf=0.5)


def frames(clip):
    return open_source(str(clip), kind="image")


def test_frames_that_differ_become_a_data_set_to_train_on(teacher, clip, tmp_path):
    out = tmp_path / "made"
    with frames(clip) as source:
        assert label(source, teacher, out, WISHES) == (2, 3)
    raw = read_raw(Data(format="yolo", path=str(out)), out)
    assert raw.labels == teacher.labels
    first, second = sorted(raw.pictures, key=lambda p: p.path)
    assert first.boxes[0] == pytest.approx([16, 16, 32, 32], abs=3)
    assert len(second.boxes) == 2
    assert second.boxes[second.boxes[:, 0].argmax()] == pytest.approx([80, 48, 96, 64], abs=3)
    rows = list(csv.DictReader((out / "scores.csv").read_text().splitlines()))
    assert len(rows) == 3
    assert all(0.5 <= float(row["score"]) <= 1 for row in rows)


def test_only_the_wanted_classes_are_kept(teacher, clip, tmp_path):
    last = teacher.labels[-1]
    wishes = Wishes(conf=0.5, classes=[last], change=0.005, parts=False)
    with frames(clip) as source:
        label(source, teacher, tmp_path / "made", wishes)
    raw = read_raw(Data(format="yolo", path=str(tmp_path / "made")), tmp_path / "made")
    assert raw.labels == (last,)


def test_every_frame_on_request_and_no_more_than_the_limit(teacher, clip, tmp_path):
    wishes = Wishes(conf=0.5, change=0, parts=False, limit=7)
    with frames(clip) as source:
        assert label(source, teacher, tmp_path / "made", wishes)[0] == 7


def test_a_folder_that_exists_is_left_alone(teacher, clip, tmp_path):
    (tmp_path / "made").mkdir()
    with frames(clip) as source, pytest.raises(DataError, match="is there already"):
        label(source, teacher, tmp_path / "made", WISHES)
    assert not list((tmp_path / "made").iterdir())


def test_nothing_to_label_leaves_nothing(teacher, tmp_path):
    with pytest.raises(DataError, match="no frame"):
        label([], teacher, tmp_path / "made", WISHES)
    assert not list(tmp_path.iterdir())


def content(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("stop", [1, 7, 12])
def test_interrupted_labelling_goes_on_to_the_same_end(teacher, clip, tmp_path, stop):
    wishes = Wishes(conf=0.5, change=0.002, parts=False)
    looked = []
    asked = teacher.predict
    teacher.predict = lambda image: looked.append(1) or asked(image)

    def broken():
        with frames(clip) as source:
            yield from itertools.islice(source, stop)
        raise KeyboardInterrupt

    with frames(clip) as source:
        whole = label(source, teacher, tmp_path / "whole", wishes)
    needed = len(looked)
    with pytest.raises(KeyboardInterrupt):
        label(broken(), teacher, tmp_path / "made", wishes)
    assert not (tmp_path / "made").exists()
    with frames(clip) as source:
        assert label(source, teacher, tmp_path / "made", wishes) == whole
    assert len(looked) == 2 * needed  # no frame was looked at again
    assert content(tmp_path / "made") == content(tmp_path / "whole")
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["made", "whole"]


def test_other_wishes_start_anew(teacher, clip, tmp_path):
    def broken():
        with frames(clip) as source:
            yield next(iter(source))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        label(broken(), teacher, tmp_path / "made", Wishes(conf=0.5, change=0, parts=False))
    with frames(clip) as source:
        assert label(source, teacher, tmp_path / "made", WISHES) == (2, 3)


def test_a_class_that_the_teacher_lacks(teacher, tmp_path):
    with pytest.raises(ModelError, match="no class"):
        label([], teacher, tmp_path / "made", Wishes(classes=["persn"]))


def test_a_classifier_is_no_teacher(tiny, tmp_path):
    with pytest.raises(ModelError, match="must be a detector"):
        label([], edgenn.load(tiny / "tiny-classify.edgenn"), tmp_path / "made", WISHES)


class Everywhere:
    """Finds the whole of whatever it is shown, and a small box in its middle."""

    labels = ("thing",)

    def predict(self, image):
        height, width = image.shape[:2]
        boxes = [[0, 0, width, height], [width / 2 - 2, height / 2 - 2, width / 2, height / 2]]
        return Detections(
            np.array(boxes, np.float32),
            np.array([0.9, 0.8], np.float32),
            np.zeros(2, int),
            ("thing",),
        )


def test_parts_add_small_things_and_no_cut_ones():
    image = Frame(np.zeros((100, 200, 3), np.uint8), 0.0, 0).image
    whole = look(Everywhere(), image, Wishes(conf=0.5, parts=False))
    parts = look(Everywhere(), image, Wishes(conf=0.5, parts=True))
    # The whole frame, and a box beside the middle with its mirror image.
    assert len(whole) == 3
    # As many small ones in each of four parts; what fills a part was cut and does not count.
    assert len(parts) == 3 + 4 * 2


def test_a_real_teacher_labels_people(real_data, tmp_path):
    clip = real_data / "videos" / "one-by-one-person-detection.mp4"
    teacher = load_any(real_data / "models" / "yolox_nano.onnx", conf=0.4)
    wishes = Wishes(classes=["person"], limit=10)
    with open_source(str(clip), kind="image") as source:
        pictures, boxes = label(source, teacher, tmp_path / "made", wishes)
    assert pictures == 10
    assert boxes >= 4
