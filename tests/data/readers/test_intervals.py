"""Recordings whose labels lie in a list beside them, and readings without a label."""

from __future__ import annotations

import numpy as np
import pytest

HEAD = "path,label,start,end"


@pytest.fixture
def record(write):
    """Writes 10 s of two channels at 20 readings a second."""

    def make(name, times=True, seed=0):
        rng = np.random.default_rng([seed, *name.encode()])
        rows = ["time,x,y" if times else "x,y"]
        for i in range(200):
            x, y = rng.normal(size=2)
            rows.append(f"{i / 20:.3f},{x:.4f},{y:.4f}" if times else f"{x:.4f},{y:.4f}")
        return write(name, "\n".join(rows) + "\n")

    return make


def names(raw, number=0):
    labels = [*raw.labels, ""]
    return [labels[i] for i in raw.recordings[number].class_ids]


def test_intervals_label_readings(read, record, write):
    record("p1/a.csv")
    record("b.csv")
    lines = ["p1/a.csv,wave,1,2.5,eve,train", "b.csv,clap,3,4,bob,val", "p1/a.csv,clap,2.5,3,,"]
    write("labels.csv", "\n".join([HEAD + ",group,split", *lines]))
    raw = read("csv")
    assert raw.labels == ("clap", "wave")
    assert raw.channels == ("x", "y")
    assert [(r.name, r.group, r.split) for r in raw.recordings] == [
        ("b.csv", "bob", "val"), ("p1/a.csv", "eve", "train"),
    ]  # fmt: skip
    assert names(raw, 1) == [""] * 20 + ["wave"] * 30 + ["clap"] * 10 + [""] * 140
    assert not any(not p.mended for p in raw.problems)


def test_the_rest_is_background(read, record, write):
    record("a.csv")
    record("idle.csv")
    write("labels.csv", f"{HEAD}\na.csv,wave,1,2\n")
    raw = read("csv", background="rest")
    assert raw.labels == ("wave", "rest")
    assert names(raw) == ["rest"] * 20 + ["wave"] * 20 + ["rest"] * 160
    assert set(names(raw, 1)) == {"rest"}
    assert raw.problems == ()


def test_without_timestamps_seconds_count_from_the_first_reading(read, record, write):
    record("a.csv", times=False)
    write("labels.csv", f"{HEAD}\na.csv,wave,1,\n")
    raw = read("csv", rate=20)
    assert names(raw) == [""] * 20 + ["wave"] * 180


def test_faulty_lines(read, record, write):
    record("a.csv")
    record("b.csv")
    lines = [
        "a.csv,wave,1,3",
        "a.csv,clap,2,4",
        "a.csv,clap,6,6",
        "c.csv,clap,1,2",
        "a.csv,clap,one,2",
        "a.csv,clap,nan,2",
        "a.csv,clap,50,60",
        "b.csv,clap,1,2",
    ]
    write("labels.csv", "\n".join([HEAD, *lines]))
    said = [
        ("labels.csv", "line 3: it overlaps with line 2"),
        ("labels.csv", "line 4: its end 6 is not after its start 6"),
        ("labels.csv", "line 5: there is no file 'c.csv'; did you mean 'b.csv'?"),
        ("labels.csv", "line 6: its start 'one' is not a number of seconds"),
        ("labels.csv", "line 7: its start 'nan' is not a number of seconds"),
        ("labels.csv", "line 8: no reading lies in that time"),
    ]
    raw = read("csv")
    found = [(p.file, p.reason) for p in raw.problems if not p.mended]
    assert [r.split("; did")[0] for _, r in found] == [r.split("; did")[0] for _, r in said]
    assert [r.name for r in raw.recordings] == ["a.csv", "b.csv"]
    # What may be half a gesture is never taught as background.
    raw = read("csv", background="rest")
    assert [r.name for r in raw.recordings] == ["b.csv"]
    assert any(p.file == "a.csv" and "is faulty" in p.reason for p in raw.problems)


def test_background_of_a_label_column(read, write):
    rows = [f"{i / 10},{i},{'wave' if 5 <= i < 9 else ''}" for i in range(20)]
    write("a.csv", "\n".join(["time,x,label", *rows]))
    raw = read("csv", background="rest")
    assert raw.recordings[0].class_ids.tolist() == [1] * 5 + [0] * 4 + [1] * 11
    raw = read("csv", background="rest", labels=["rest", "wave"])
    assert raw.recordings[0].class_ids.tolist() == [0] * 5 + [1] * 4 + [0] * 11


def test_a_recording_called_labels_is_a_recording(read, write):
    write("labels.csv", "x,label\n1,a\n2,a\n")
    assert [r.name for r in read("csv", rate=5).recordings] == ["labels.csv"]


def test_class_by_path(read, write, told):
    for i, name in enumerate(("g10_a.csv", "g2_b.csv", "other.csv")):
        write(name, f"x\n{i}\n2\n")
    raw = read("csv", rate=5, label_pattern=r"g(\d+)")
    assert raw.labels == ("2", "10")
    assert told(raw) == {"other.csv": "data.label_pattern finds no class in this path"}


def test_npz_class_by_path(read, tmp_path):
    for i in (1, 2):
        np.savez(tmp_path / f"g{i}.npz", values=np.random.default_rng(i).normal(size=(9, 2)))
    raw = read("npz", rate=5, label_pattern=r"g(\d)")
    assert raw.labels == ("1", "2")
    assert [set(r.class_ids.tolist()) for r in raw.recordings] == [{0}, {1}]
