from __future__ import annotations

import shutil

import numpy as np
import pytest

from edgenn.data.load import guess_format, load_dataset
from edgenn.errors import DataError, RecipeError


@pytest.fixture
def folders(photo, tmp_path):
    for name in ("cat", "dog"):
        for i in range(10):
            photo(f"set/{name}/{i}.jpg")
    return tmp_path / "set"


def damage(path):
    path.write_bytes(path.read_bytes()[:-90])


def test_pictures(recipe, folders):
    counted = []

    def progress(step, total):
        counted.append((step, total))
        return lambda: counted.append(1)

    dataset = load_dataset(recipe("imagefolder"), folders, progress)
    assert dataset.labels == ("cat", "dog")
    assert (len(dataset.train), len(dataset.val)) == (16, 4)
    assert (dataset.channels, dataset.rate) == ((), 0.0)
    assert counted == [("check pictures", 20)] + [1] * 20


def test_a_tenth_may_be_bad(recipe, folders, caplog):
    damage(folders / "cat/0.jpg")
    damage(folders / "dog/3.jpg")
    dataset = load_dataset(recipe("imagefolder"), folders)
    assert len(dataset.train) + len(dataset.val) == 18
    assert sorted(p.file for p in dataset.problems) == ["cat/0.jpg", "dog/3.jpg"]
    assert "2 of 20 samples are bad" in caplog.text


def test_more_may_not(recipe, folders):
    for i in range(3):
        damage(folders / f"cat/{i}.jpg")
    with pytest.raises(DataError, match=r"3 of 20 samples are bad.*cat/0\.jpg: truncated JPEG"):
        load_dataset(recipe("imagefolder"), folders)
    loose = recipe("imagefolder", {"max_bad": 0.2})
    assert len(load_dataset(loose, folders).problems) == 3


def test_mended_faults_do_not_count(recipe, folders):
    for i in range(8):
        shutil.copy(folders / "cat/9.jpg", folders / f"cat/copy{i}.jpg")
    dataset = load_dataset(recipe("imagefolder"), folders)
    assert len(dataset.train) + len(dataset.val) == 20


def test_nothing_usable(recipe, folders):
    for path in folders.rglob("*.jpg"):
        damage(path)
    with pytest.raises(DataError, match=r"no sample can be used; the first is cat/0\.jpg"):
        load_dataset(recipe("imagefolder", {"max_bad": 1.0}), folders)


def test_path_of_the_recipe(recipe, folders, monkeypatch, tmp_path):
    asked = recipe("imagefolder", {"path": "${PICTURES}/set"})
    monkeypatch.delenv("PICTURES", raising=False)
    with pytest.raises(RecipeError, match="PICTURES"):
        load_dataset(asked)
    monkeypatch.setenv("PICTURES", str(tmp_path))
    assert len(load_dataset(asked).train) == 16
    with pytest.raises(DataError, match="there is no data at"):
        load_dataset(asked, tmp_path / "nowhere")


def test_hash_tells_labels_but_not_the_place(recipe, folders, tmp_path):
    first = load_dataset(recipe("imagefolder"), folders).sha256
    shutil.copytree(folders, tmp_path / "elsewhere/copy")
    assert load_dataset(recipe("imagefolder", seed=3), tmp_path / "elsewhere/copy").sha256 == first
    (folders / "cat/0.jpg").rename(folders / "dog/other.jpg")
    assert load_dataset(recipe("imagefolder"), folders).sha256 != first


def test_recordings_that_fill_no_window(recipe, tmp_path):
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(30), [9, *[20] * 29])
    np.savez(
        tmp_path / "a.npz",
        values=rng.normal(size=(len(recording), 2)),
        recording=recording,
        y=np.arange(30) % 2,
        rate=50,
    )
    dataset = load_dataset(recipe("npz", input={"window": 10, "stride": 5}), tmp_path / "a.npz")
    assert len(dataset.train) + len(dataset.val) == 29
    assert [p.reason for p in dataset.problems] == ["too short: 9 readings, at least 10 are wanted"]
    assert (dataset.rate, dataset.channels) == (50.0, ("c0", "c1"))


@pytest.mark.parametrize(
    ("files", "layout"),
    [
        (["data.yaml"], "yolo"),
        (["images/a.jpg", "labels/a.txt"], "yolo"),
        (["a.jpg", "a.txt"], "yolo"),
        (["a.jpg", "a.xml"], "voc"),
        (["cat/a.jpg", "dog/b.png"], "imagefolder"),
        (["p1/a.csv"], "csv"),
        (["a.npz"], "npz"),
        (["a1_s1.mat"], "mat"),
        (["wave/a.mp4", "labels.csv"], "clips"),
    ],
)
def test_guess(write, tmp_path, files, layout):
    for name in files:
        write(name, "")
    assert guess_format(tmp_path) == layout


def test_guess_coco_and_files(write, tmp_path):
    write("images/a.jpg", "")
    path = write("annotations/x.json", '{"info": {}, "images": [], "annotations": []}')
    assert guess_format(tmp_path) == guess_format(path) == "coco"
    assert guess_format(write("a.csv", "")) == "csv"
    assert guess_format(write("a.csv", "0,1,2,3,4\n")) == "points"
    with pytest.raises(DataError, match="no layout that edgenn knows"):
        guess_format(write("a.docx", ""))
    with pytest.raises(DataError, match="no data at"):
        guess_format(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("folder", "layout"),
    [
        ("detection/fruit", "voc"),
        ("detection/coco128-train", "yolo"),
        ("gestures/sign-digits", "imagefolder"),
        ("gestures/utd-mhad/inertial", "mat"),
        ("gestures/utd-mhad/depth-video", "clips"),
        ("gestures/hand-points/point_history.csv", "points"),
        ("gestures/hand-points", "points"),
    ],
)
def test_guess_real_data(real_data, folder, layout):
    assert guess_format(real_data / folder) == layout


def test_real_hand_signs_by_person(recipe, real_data):
    asked = recipe("imagefolder", {"split": {"group": r"IMG_(\d\d)"}})
    dataset = load_dataset(asked, real_data / "gestures/sign-digits")
    assert dataset.labels == tuple("0123456789")
    assert len(dataset.train) + len(dataset.val) == 2062
    assert not {s.group for s in dataset.train} & {s.group for s in dataset.val}
    assert {int(s.class_ids[0]) for s in dataset.val} == set(range(10))
