from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

from edgenn.data.check import check_data
from edgenn.data.load import guess_format, load_dataset
from edgenn.errors import DataError
from edgenn.recipe.schema import Data


def test_folder_per_class(read, video):
    for name in ("wave/1.avi", "wave/2.avi", "clap/1.avi"):
        video(name)
    raw = read("clips")
    assert raw.labels == ("clap", "wave")
    assert [c.class_id for c in raw.clips] == [0, 1, 1]
    clip = raw.clips[0]
    assert (clip.start, clip.end, clip.frames, clip.size) == (0.0, math.inf, 12, (48, 64))
    assert clip.fps == pytest.approx(10)
    assert [c.group for c in raw.clips] == ["clap/1.avi", "wave/1.avi", "wave/2.avi"]
    assert clip.class_ids.tolist() == [0]


def test_class_and_person_by_path_and_sides(read, video):
    video("train/a2_s1.avi")
    video("train/a10_s1.avi")
    video("val/a2_s2.avi")
    raw = read("clips", label_pattern=r"a(\d+)_", split={"group": r"_s(\d+)"})
    assert raw.labels == ("2", "10")
    assert [(c.class_id, c.group, c.split) for c in raw.clips] == [
        (1, "1", "train"), (0, "1", "train"), (0, "2", "val"),
    ]  # fmt: skip


def test_other_sizes_and_grey_are_taken(read, video):
    video("a/1.avi", size=(48, 64))
    video("a/2.avi", size=(120, 90), fps=25)
    video("b/3.avi", colour=False)
    raw = read("clips")
    assert [c.size for c in raw.clips] == [(48, 64), (120, 90), (48, 64)]
    assert raw.problems == ()


def test_list_of_intervals(read, video, write):
    video("day/one.avi", frames=60)
    video("two.avi", frames=30)
    write(
        "labels.csv",
        "path;label;start;end;group;split\n"
        "day/one.avi;wave;0;2;eve;train\n"
        "day/one.avi;clap;2.5;4;eve;train\n"
        "two.avi;wave;;;bob;val\n",
    )
    for at in ("", "labels.csv"):
        raw = read("clips", at)
        assert raw.labels == ("clap", "wave")
        assert [(c.name[-11:], c.start, c.end, c.frames, c.group, c.split) for c in raw.clips] == [
            ("day/one.avi", 0.0, 2.0, 20, "eve", "train"),
            ("one.avi@2.5", 2.5, 4.0, 15, "eve", "train"),
            (raw.clips[2].name[-11:], 0.0, math.inf, 30, "bob", "val"),
        ]


def test_lines_that_do_not_fit(read, video, write):
    video("one.avi", frames=60)
    write(
        "labels.csv",
        "path,label,start,end\n"
        "one.avi,wave,0,2\n"
        "one.avi,clap,1.5,3\n"
        "one.avi,clap,4,3\n"
        "ono.avi,clap,4,5\n"
        "one.avi,clap,4,soon\n"
        "one.avi,,4,5\n"
        "one.avi,wave,5,5.3\n"
        "one.avi,wave,9,10\n",
    )
    raw = read("clips")
    assert [(c.start, c.end) for c in raw.clips] == [(0, 2)]
    assert [(p.file, p.reason) for p in raw.problems] == [
        ("labels.csv", "line 3: it overlaps with line 2"),
        ("labels.csv", "line 4: its end 3 is not after its start 4"),
        ("labels.csv", "line 5: there is no file 'ono.avi'; did you mean 'one.avi'?"),
        ("labels.csv", "line 6: its end 'soon' is not a number of seconds"),
        ("labels.csv", "line 7: empty label"),
        ("one.avi@5", "a clip of 3 frames, at least 8 are needed"),
        ("one.avi@9", "it starts at 9 s, the video ends at 6 s"),
    ]
    assert not any(p.mended for p in raw.problems)


def test_files_that_do_not_fit(read, video, told, tmp_path):
    good = video("a/good.avi")
    video("a/short.avi", frames=3)
    data = video("a/cut.avi").read_bytes()
    (tmp_path / "a/cut.avi").write_bytes(data[: len(data) * 2 // 3])
    (tmp_path / "a/empty.mp4").write_bytes(b"")
    (tmp_path / "a/text.mp4").write_text("no video at all, only words")
    shutil.copy(good, tmp_path / "a/later.avi")
    (tmp_path / "b").mkdir()
    shutil.copy(good, tmp_path / "b/other.avi")
    video("loose.avi")
    raw = read("clips")
    assert [c.path.name for c in raw.clips] == ["good.avi"]
    assert told(raw, mended=True) == {"a/later.avi": "duplicate of a/good.avi; left out"}
    found = told(raw)
    assert found.pop("a/cut.avi").startswith("the video is cut short")
    assert found == {
        "a/short.avi": "a clip of 3 frames, at least 8 are needed",
        "a/empty.mp4": "not a video that OpenCV can decode, or a damaged one",
        "a/text.mp4": "not a video that OpenCV can decode, or a damaged one",
        "b/other.avi": "duplicate of a/good.avi with another label",
        "loose.avi": "it lies in no class folder",
    }


def test_nothing_with_a_class(read, video):
    video("loose.avi")
    with pytest.raises(DataError, match=r"no video with a class; loose\.avi: it lies in no class"):
        read("clips")


def test_split_check_hash_and_guess(recipe, video, tmp_path):
    for kind in ("wave", "clap"):
        for i in range(5):
            video(f"set/{kind}/{i}.avi")
    assert guess_format(tmp_path / "set") == "clips"
    assert guess_format(tmp_path / "set/wave/1.avi") == "clips"
    dataset = load_dataset(recipe("clips"), tmp_path / "set")
    assert (len(dataset.train), len(dataset.val)) == (8, 2)
    report = check_data(Data(format="clips", path=""), tmp_path / "set")
    assert report.counts()["all"]["wave"] == {"clips": 5, "frames": 60}
    shutil.copytree(tmp_path / "set", tmp_path / "copy")
    assert load_dataset(recipe("clips"), tmp_path / "copy").sha256 == dataset.sha256
    (tmp_path / "copy/wave/1.avi").rename(tmp_path / "copy/clap/9.avi")
    assert load_dataset(recipe("clips"), tmp_path / "copy").sha256 != dataset.sha256


def test_utd_mhad(recipe, real_data):
    rules = {
        "label_pattern": r"^a(\d+)_",
        "split": {"group": r"_s(\d+)_", "val": ["5", "6"]},
    }
    dataset = load_dataset(recipe("clips", rules), real_data / "gestures/utd-mhad/depth-video")
    assert dataset.labels == tuple(f"{i:02}" for i in range(1, 28))
    assert len(dataset.train) + len(dataset.val) == 646
    assert {c.group for c in dataset.val} == {"5", "6"}
    assert {c.size for c in dataset.train} == {(120, 160)}
    frames = np.array([c.frames for c in dataset.train])
    assert frames.min() >= 8
    assert {round(c.fps) for c in dataset.val} == {30}
    assert dataset.problems == ()
