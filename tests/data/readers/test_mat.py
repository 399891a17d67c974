from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from edgenn.errors import DataError

RNG = np.random.default_rng(0)
BY_PATH = {"label_pattern": r"^a(\d+)_", "split": {"group": r"_s(\d+)_"}, "rate": 50}


@pytest.fixture
def save(tmp_path):
    def write(name, /, **arrays):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        savemat(tmp_path / name, arrays)

    return write


def test_class_and_person_by_path(read, save):
    for action in (10, 2, 1):
        save(f"a{action}_s{action % 2}_t1.mat", d_iner=RNG.normal(size=(30 + action, 6)))
    raw = read("mat", **BY_PATH)
    assert raw.labels == ("1", "2", "10")
    assert raw.channels == ("c0", "c1", "c2", "c3", "c4", "c5")
    assert [(r.name, r.group, len(r.values), r.rate) for r in raw.recordings] == [
        ("a10_s0_t1.mat", "0", 40, 50.0),
        ("a1_s1_t1.mat", "1", 31, 50.0),
        ("a2_s0_t1.mat", "0", 32, 50.0),
    ]
    assert [set(r.class_ids.tolist()) for r in raw.recordings] == [{2}, {0}, {1}]


def test_skeletons_have_time_last(read, save):
    skeleton = RNG.normal(size=(20, 3, 44))
    save("wave/1.mat", d_skel=skeleton, name="right hand", rate=30.0)
    raw = read("mat", rate=30)
    (recording,) = raw.recordings
    assert raw.labels == ("wave",)
    assert recording.values.shape == (44, 60)
    assert np.allclose(recording.values[7, 3 * 4 : 3 * 5], skeleton[4, :, 7])


def test_names_of_channels_only_where_they_fit(read, save):
    save("a/1.mat", x=RNG.normal(size=(9, 2)))
    assert read("mat", rate=9, channels=["u", "v"]).channels == ("u", "v")
    assert read("mat", rate=9, channels=["u"]).channels == ("c0", "c1")


def test_files_that_do_not_fit(read, save, told, tmp_path):
    good = RNG.normal(size=(30, 6))
    save("a1_s1_t1.mat", d=good)
    torn = good.copy()
    torn[3, 2] = np.nan
    save("a1_s2_t1.mat", d=torn)
    save("a1_s3_t1.mat", d=good[:, :3])
    save("a1_s4_t1.mat", d=good, e=good)
    save("a1_s5_t1.mat", d="text")
    save("a1_s6_t1.mat", d=good + 1j)
    whole = (tmp_path / "a1_s1_t1.mat").read_bytes()
    (tmp_path / "a1_s7_t1.mat").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a1_s8_t1.mat").write_bytes(b"")
    (tmp_path / "a1_s9_t1.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    save("b1_s1_t1.mat", d=good + 1)
    raw = read("mat", **BY_PATH)
    assert [r.name for r in raw.recordings] == ["a1_s1_t1.mat"]
    wanted = {
        "a1_s2_t1.mat": "1 of 30 readings are NaN or not numbers: the first is reading 4",
        "a1_s3_t1.mat": "it has 3 channels, a1_s1_t1.mat has 6",
        "a1_s4_t1.mat": "one array of (T, C) or (J, A, T) numbers, not d, e",
        "a1_s5_t1.mat": "numbers, not none",
        "a1_s6_t1.mat": "numbers, not none",
        "a1_s7_t1.mat": "a damaged MATLAB file: an element reaches past its end",
        "a1_s8_t1.mat": "not a MATLAB file",
        "a1_s9_t1.mat": "save it with -v7",
        "b1_s1_t1.mat": "data.label_pattern finds no class",
    }
    found = told(raw)
    assert found.keys() == wanted.keys()
    for file, reason in wanted.items():
        assert reason in found[file], found[file]


def test_no_rate_and_no_class(read, save):
    save("1.mat", d=RNG.normal(size=(30, 6)))
    with pytest.raises(DataError, match=r"1\.mat: no data\.label_pattern and no folder"):
        read("mat", rate=50)
    with pytest.raises(DataError, match=r"data\.rate"):
        read("mat", label_pattern=r"(\d)")


@pytest.mark.parametrize(
    ("folder", "channels", "count"), [("inertial", 6, 430), ("skeleton", 60, 430)]
)
def test_utd_mhad(recipe, real_data, folder, channels, count):
    from edgenn.data.load import load_dataset

    split = {"group": r"_s(\d+)_", "val": ["5", "6"]}
    asked = recipe("mat", {**BY_PATH, "split": split}, input={"window": 32, "stride": 16})
    dataset = load_dataset(asked, real_data / "gestures/utd-mhad" / folder)
    assert dataset.labels == tuple(str(i) for i in range(1, 28))
    assert len(dataset.channels) == channels
    assert len(dataset.train) + len(dataset.val) > 0.99 * count
    assert {r.group for r in dataset.train} == {"1", "2", "3", "4"}
    assert {r.group for r in dataset.val} == {"5", "6"}
    assert all(p.mended for p in dataset.problems)
