from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import DataError


def table(n=20, start=0.0, rate=50.0, label="walk", head="time,ax,ay,label", offset=0):
    rows = [f"{start + i / rate:.3f},{i + offset},{-i},{label}" for i in range(n)]
    return "\n".join([head, *rows]) + "\n"


def test_one_file(read, write):
    write("a.csv", "﻿" + table(20) + table(20, 0.4, label="run").partition("\n")[2])
    raw = read("csv", "a.csv")
    assert raw.channels == ("ax", "ay")
    assert raw.labels == ("run", "walk")
    (recording,) = raw.recordings
    assert recording.values.dtype == np.float32
    assert recording.values[3].tolist() == [3, -3]
    assert recording.class_ids.tolist() == [1] * 20 + [0] * 20
    assert (recording.rate, recording.group) == (50.0, "a.csv")


def test_folder_per_label_and_declared_rate(read, write):
    write("walk/1.csv", "x;y\n1;2\n3;4\n")
    write("run/1.csv", "x;y\n5;6\n7;8\n")
    raw = read("csv", rate=25)
    assert raw.labels == ("run", "walk")
    assert [(r.name, r.class_ids.tolist(), r.rate) for r in raw.recordings] == [
        ("run/1.csv", [0, 0], 25), ("walk/1.csv", [1, 1], 25),
    ]  # fmt: skip


def test_neither_timestamps_nor_rate(read, write):
    write("a.csv", "x,label\n1,a\n2,a\n")
    with pytest.raises(DataError, match=r"data\.time or data\.rate"):
        read("csv")


def test_columns_of_other_names(read, write):
    write("a.csv", "Stamp,z,note,x,cls\n0,1,hi,2,a\n0.1,3,ho,4,a\n")
    raw = read("csv", time="Stamp", label="cls", channels=["x", "z"])
    assert raw.channels == ("x", "z")
    assert raw.recordings[0].values.tolist() == [[2, 1], [4, 3]]
    with pytest.raises(DataError, match="no column 'stamp'; did you mean 'Stamp'"):
        read("csv", time="stamp", label="cls", channels=["x"])


def test_groups_sides_and_recordings_by_column(read, write):
    rows = ["x,label,Subject,split,recording"]
    for subject, split, recording in (("eve", "train", 1), ("eve", "train", 2), ("bob", "val", 2)):
        rows += [f"{i + len(rows)},a,{subject},{split},{recording}" for i in range(5)]
    write("a.csv", "\n".join(rows))
    raw = read("csv", rate=10)
    assert raw.channels == ("x",)
    assert [(r.group, r.split, len(r.values)) for r in raw.recordings] == [
        ("eve", "train", 5), ("eve", "train", 5), ("bob", "val", 5),
    ]  # fmt: skip


def test_sides_by_folder_and_group_by_path(read, write):
    write("train/walk/p1_a.csv", "x\n1\n2\n")
    write("val/walk/p2_a.csv", "x\n3\n4\n")
    raw = read("csv", rate=10, split={"group": r"(p\d)_"})
    assert raw.labels == ("walk",)
    assert [(r.split, r.group) for r in raw.recordings] == [("train", "p1"), ("val", "p2")]


def test_gap_cuts_a_recording(read, write, told):
    text = table(20) + table(15, 1.0, offset=50).partition("\n")[2]
    write("a.csv", text)
    raw = read("csv")
    assert [(r.name, len(r.values)) for r in raw.recordings] == [("a.csv[0]", 20), ("a.csv[1]", 15)]
    assert raw.recordings[0].group == raw.recordings[1].group == "a.csv"
    said = told(raw, mended=True)["a.csv"]
    assert said == "gap of 0.62 s in time after 0.380 s; it was cut there"


def test_one_lost_reading_is_no_gap(read, write):
    lines = table(20).splitlines()
    del lines[8]
    write("a.csv", "\n".join(lines))
    raw = read("csv")
    assert [len(r.values) for r in raw.recordings] == [19]
    assert raw.problems == ()


def test_time_that_goes_back_cuts(read, write, told):
    write("a.csv", table(20, 5.0) + table(15, 1.0, offset=50).partition("\n")[2])
    raw = read("csv")
    assert len(raw.recordings) == 2
    assert "time goes back by 4.38 s" in told(raw, mended=True)["a.csv"]


@pytest.mark.parametrize(
    ("cell", "shown"), [("nan", "'nan'"), ("", "''"), ("n/a", "'n/a'"), ("inf", "'inf'")]
)
def test_bad_cells_cut_and_are_named(read, write, told, cell, shown):
    lines = table(20).splitlines()
    lines[8] = f"0.140,{cell},-7,walk"
    write("a.csv", "\n".join(lines))
    raw = read("csv")
    assert [len(r.values) for r in raw.recordings] == [7, 12]
    said = told(raw, mended=True)["a.csv"]
    assert said.startswith("1 of 20 readings are NaN or not numbers")
    assert f"line 9, column 'ax' holds {shown}" in said


def test_file_with_too_many_bad_cells_is_left_out(read, write, told):
    write("a.csv", table(20))
    lines = table(20, offset=3).splitlines()
    for i in (3, 9, 15):
        lines[i] = "0.1,x,y,walk"
    write("b.csv", "\n".join(lines))
    raw = read("csv")
    assert [r.name for r in raw.recordings] == ["a.csv"]
    assert "3 of 20 readings" in told(raw)["b.csv"]


def test_empty_labels(read, write, told):
    write("a.csv", table(20) + table(5, 0.4, label="", offset=20).partition("\n")[2])
    write("b.csv", table(20, label="", offset=9))
    raw = read("csv")
    (recording,) = raw.recordings
    assert recording.class_ids.tolist() == [0] * 20 + [-1] * 5
    assert "empty label: 5 of 25" in told(raw, mended=True)["a.csv"]
    assert told(raw) == {"b.csv": "empty label: no reading has one"}


def test_files_that_do_not_fit(read, write, told, tmp_path):
    write("a.csv", table(20))
    write("b.csv", table(20, offset=1, head="time,ax,az,label"))
    write("c.csv", "1,2,3\n4,5,6\n")
    write("d.csv", "")
    write("e.csv", table(20, rate=100, offset=2))
    write("f.csv", "ax,ax,label\n1,2,a\n")
    (tmp_path / "g.csv").write_bytes(b"\xff\xfe\x00time,ax\n1,2")
    write("h.csv", "time,ax,ay\n0,1,2\n")
    raw = read("csv")
    assert [r.name for r in raw.recordings] == ["a.csv"]
    found = told(raw)
    wanted = {
        "b.csv": "no column 'ay'",
        "c.csv": "first line must name the columns",
        "d.csv": "no readings",
        "e.csv": "100 readings a second, not 50",
        "f.csv": "same name",
        "g.csv": "cannot be read as CSV",
        "h.csv": "no column 'label' and no folder",
    }
    assert found.keys() == wanted.keys()
    for file, reason in wanted.items():
        assert reason in found[file]


def test_copies(read, write, told):
    write("a.csv", table(20))
    write("b.csv", table(20))
    write("c.csv", table(20, label="run"))
    raw = read("csv")
    assert [r.name for r in raw.recordings] == ["a.csv"]
    assert told(raw, mended=True) == {"b.csv": "duplicate of a.csv; left out"}
    assert told(raw) == {"c.csv": "duplicate of a.csv with other labels"}


def test_classes_that_are_not_wanted_are_unlabelled(read, write):
    write("a.csv", table(20) + table(20, 0.4, label="run").partition("\n")[2])
    write("b.csv", table(20, label="run", offset=5))
    raw = read("csv", labels=["walk"])
    assert [r.class_ids.tolist() for r in raw.recordings] == [[0] * 20 + [-1] * 20]
    assert raw.problems == ()


def test_no_usable_file_says_why(read, write):
    write("a.csv", "1,2\n3,4\n")
    with pytest.raises(DataError, match=r"a\.csv: its first line"):
        read("csv")


def sampled(rate, seconds, jitter=0.0, seed=0):
    """A 1 Hz sine as a table: walk in its first half, run after."""
    rng = np.random.default_rng(seed)
    n = int(rate * seconds)
    times = np.sort((np.arange(n) + rng.uniform(-jitter, jitter, n)) / rate)
    rows = [
        f"{t:.4f},{np.sin(2 * np.pi * t):.5f},{seed},{'walk' if t < seconds / 2 else 'run'}"
        for t in times
    ]
    return "\n".join(["time,ax,ay,label", *rows]) + "\n"


@pytest.mark.parametrize(("rate", "jitter"), [(46, 0.3), (104, 0.3), (50, 0.45), (5, 0.1)])
def test_another_rate_is_resampled_where_the_recipe_has_one(read, write, rate, jitter):
    write("a.csv", sampled(rate, 8, jitter))
    (recording,) = read("csv", rate=50).recordings
    assert recording.rate == 50
    assert abs(len(recording.values) - 400) <= 50 / rate + 1
    start = float(sampled(rate, 8, jitter).splitlines()[1].split(",")[0])
    times = start + np.arange(len(recording.values)) / 50
    error = np.abs(recording.values[1:, 0] - np.sin(2 * np.pi * times)[1:])
    assert error.max() < (0.3 if rate == 5 else 0.08)
    changes = np.flatnonzero(np.diff(recording.class_ids))
    assert len(changes) == 1
    assert times[changes[0] + 1] == pytest.approx(4, abs=1.2 / min(rate, 50))


def test_readings_at_the_rate_stay_as_they_are(read, write):
    write("a.csv", sampled(50.4, 4))
    (recording,) = read("csv", rate=50).recordings
    cells = [line.split(",")[1] for line in sampled(50.4, 4).splitlines()[1:]]
    assert recording.values[:, 0].tolist() == np.array(cells, np.float32).tolist()


def test_resampling_spans_no_gap_and_no_bad_reading(read, write, told):
    lines = sampled(104, 8).splitlines()
    del lines[300:360]
    lines[500] = lines[500].replace(lines[500].split(",")[1], "nan")
    write("a.csv", "\n".join(lines))
    raw = read("csv", rate=50)
    assert [len(r.values) for r in raw.recordings] == pytest.approx([144, 96, 131], abs=2)
    assert "gap of" in " ".join(p.reason for p in raw.problems)


def test_times_in_milliseconds_are_not_resampled(read, write):
    text = sampled(50, 4)
    head, *lines = text.splitlines()
    rows = [f"{1000 * float(t):.0f},{rest}" for t, _, rest in (x.partition(",") for x in lines)]
    write("a.csv", "\n".join([head, *rows]))
    write("b.csv", sampled(50, 4, seed=1))
    raw = read("csv", rate=50)
    assert [r.name for r in raw.recordings] == ["b.csv"]
    assert [p.reason for p in raw.problems] == [
        "it has 0.05 readings a second, not 50; are its times in seconds?"
    ]
