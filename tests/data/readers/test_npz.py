from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import DataError

RNG = np.random.default_rng(0)


def save(path, **arrays):
    np.savez(path, **arrays)


def test_windows(read, tmp_path, told):
    values = RNG.normal(size=(6, 10, 3))
    values[4, 2, 1] = np.nan
    save(
        tmp_path / "a.npz",
        values=values,
        y=np.array([0, 1, 0, 1, 0, 1]),
        labels=np.array(["up", "down"]),
        group=np.array(["p1", "p1", "p2", "p2", "p3", "p3"]),
        rate=50,
        channels=np.array(["x", "y", "z"]),
    )
    raw = read("npz")
    assert raw.labels == ("up", "down")
    assert raw.channels == ("x", "y", "z")
    assert [r.group for r in raw.recordings] == ["p1", "p1", "p2", "p2", "p3"]
    assert raw.recordings[3].class_ids.tolist() == [1] * 10
    assert {r.rate for r in raw.recordings} == {50.0}
    assert "1 of 10 readings are NaN" in told(raw)["a.npz#4"]


def test_recordings_labelled_once_or_per_reading(read, tmp_path):
    recording = np.repeat([0, 1, 2], [5, 7, 6])
    for name, y in (("once", np.array([1, 0, 1])), ("each", np.array([1, 0, 1])[recording])):
        save(
            tmp_path / f"{name}.npz",
            values=RNG.normal(size=(18, 2)),
            recording=recording,
            y=y,
            labels=np.array(["a", "b"]),
        )
        raw = read("npz", f"{name}.npz", rate=20)
        assert [r.class_ids.tolist() for r in raw.recordings] == [[1] * 5, [0] * 7, [1] * 6]
        assert raw.channels == ("c0", "c1")
        assert len({r.group for r in raw.recordings}) == 3


def test_names_as_classes_and_sides(read, tmp_path):
    save(
        tmp_path / "a.npz",
        values=RNG.normal(size=(3, 4, 1)),
        y=np.array(["left", "right", "left"]),
        split=np.array(["train", "val", "train"]),
    )
    raw = read("npz", rate=10)
    assert raw.labels == ("left", "right")
    assert [r.split for r in raw.recordings] == ["train", "val", "train"]


def test_file_per_side(read, tmp_path):
    for side in ("train", "val"):
        save(tmp_path / f"{side}.npz", values=RNG.normal(size=(8, 1)), y=np.zeros(1, int), rate=5)
    assert [r.split for r in read("npz").recordings] == ["train", "val"]


def test_unlabelled_readings(read, tmp_path):
    y = np.array([0, 0, -1, -1, 1])
    save(tmp_path / "a.npz", values=RNG.normal(size=(5, 1)), y=y, labels=np.array(["a", "b"]))
    assert read("npz", rate=5).recordings[0].class_ids.tolist() == y.tolist()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"values": np.zeros(4)}, "values must be numbers"),
        ({"y": np.array([0, 5])}, "'y' holds 5"),
        ({"y": np.zeros(3, int)}, "'y' has 3 entries"),
        ({"y": np.zeros(2)}, "'y' must hold integers or names"),
        ({"channels": np.array(["x"])}, "2 channels but 1 names"),
        ({"group": np.array(["a"])}, "'group' has 1 entries"),
    ],
)
def test_arrays_that_do_not_fit(read, tmp_path, changes, reason):
    good = {"values": RNG.normal(size=(2, 9, 2)), "y": np.array([0, 1]), "labels": ["a", "b"]}
    save(tmp_path / "a.npz", **{**good, **changes})
    with pytest.raises(DataError, match=reason):
        read("npz", rate=5)


def test_pickle_is_never_loaded(read, tmp_path):
    save(tmp_path / "a.npz", values=np.array([{"a": 1}], object), y=np.zeros(1, int))
    with pytest.raises(DataError, match="not an npz file of plain arrays"):
        read("npz", rate=5)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x93NUMPY"])
def test_not_an_npz(read, tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="not an npz file"):
        read("npz")
