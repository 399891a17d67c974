from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edgenn.data.readers.points import BLOCK, is_points
from edgenn.errors import DataError

RNG = np.random.default_rng(0)


def rows(n, class_id, points=16):
    return [
        ",".join([str(class_id), *(f"{v:.5f}" for v in RNG.normal(size=2 * points))])
        for _ in range(n)
    ]


def test_clips_of_one_point(read, write):
    write("path.csv", "2,1,2,3,4,5,6\n0,7,8,9,10,11,12\n")
    write("path_label.csv", "﻿Stop\nLeft\nRight\n\n")
    raw = read("points", "path.csv", rate=30)
    assert raw.labels == ("Stop", "Left", "Right")
    assert raw.channels == ("x", "y")
    assert [r.values.tolist() for r in raw.recordings] == [
        [[1, 2], [3, 4], [5, 6]], [[7, 8], [9, 10], [11, 12]],
    ]  # fmt: skip
    assert [r.class_ids.tolist() for r in raw.recordings] == [[2] * 3, [0] * 3]
    assert [(r.name, r.rate) for r in raw.recordings] == [("path.csv:1", 30), ("path.csv:2", 30)]


def test_points_of_one_moment(read, write):
    write("hand.csv", "1,1,2,3,4\n0,5,6,7,8\n")
    raw = read("points", points="features")
    assert raw.channels == ("x0", "y0", "x1", "y1")
    assert raw.labels == ("0", "1")
    assert [r.values.tolist() for r in raw.recordings] == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


def test_no_rate_is_said(read, write):
    write("path.csv", "2,1,2,3,4\n")
    with pytest.raises(DataError, match=r"data\.rate"):
        read("points")


def test_neighbours_are_never_in_two_groups(read, write, told):
    write("p.csv", "\n".join(rows(1000, 0) + rows(40, 1) + rows(299, 0)))
    raw = read("points", rate=30)
    groups = {}
    for recording in raw.recordings:
        line = int(recording.name.partition(":")[2])
        groups.setdefault(recording.group, []).append(line)
    assert [len(lines) for lines in groups.values()][-2:] == [40, 299]
    assert min(len(lines) for lines in groups.values()) == 40
    assert all(len(lines) >= BLOCK - 15 for lines in list(groups.values())[:-2])
    bounds = [(min(lines), max(lines)) for lines in groups.values()]
    assert len(bounds) == 6 + 1 + 1
    for (_, end), (start, _) in pairwise(bounds[:6]):
        assert start - end == 16  # rows that are so far apart share none of 16 points
    assert told(raw, mended=True)["p.csv"].startswith("75 rows between blocks left out")


def test_rows_that_do_not_fit(read, write, told):
    lines = ["0,1,2,3,4", "1,1,2,3", "x,1,2,3,4", "5,1,2,3,4", "0,1,2,oops,4", "1,nan,2,3,4"]
    write("p.csv", "\n".join([*lines, "1,9,2,3,4"]))
    write("p_classifier_label.csv", "a\nb\n")
    raw = read("points", rate=30)
    assert [r.name for r in raw.recordings] == ["p.csv:1", "p.csv:7"]
    found = told(raw)
    for line, reason in (
        (2, "3 coordinates; the first row has 4"),
        (3, "its class 'x' is not a number"),
        (4, "its class is 5, but only 2 have names"),
        (5, "a coordinate is not a number: could not convert string to float: 'oops'"),
        (6, "NaN or infinite"),
    ):
        assert reason in found[f"p.csv:{line}"]


def test_files_that_do_not_fit(read, write, tmp_path):
    write("a.csv", "time,x\n1,2\n")
    with pytest.raises(DataError, match=r"no row can be used; a\.csv:1: "):
        read("points", rate=30)
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read("points", rate=30)


def test_what_looks_like_points(write):
    assert is_points(write("a.csv", "0,1,2,3,4\n"))
    for text in ("", "x,y\n", "0,1,2,3\n", "0.5,1,2,3,4\n", "0,1,2\n"):
        assert not is_points(write("b.csv", text))


@pytest.mark.parametrize(
    ("file", "points", "labels", "count"),
    [
        ("point_history.csv", "time", ("Stop", "Clockwise", "Counter Clockwise", "Move"), 4800),
        ("keypoint.csv", "features", ("Open", "Close", "Pointer"), 4000),
    ],
)
def test_hand_points(recipe, real_data, file, points, labels, count):
    from edgenn.data.load import load_dataset

    keys = {"points": points, "rate": 30}
    window = {"window": 16 if points == "time" else 1, "stride": 1}
    asked = recipe("points", keys, input=window)
    dataset = load_dataset(asked, real_data / "gestures/hand-points" / file)
    assert dataset.labels == labels
    assert len(dataset.train) + len(dataset.val) > count
    assert 0.1 < len(dataset.val) / len(dataset.train) < 0.4
    assert all(p.mended for p in dataset.problems)
    lines = [{int(r.name.partition(":")[2]) for r in s} for s in (dataset.train, dataset.val)]
    classes = [np.unique([r.class_ids[0] for r in s]) for s in (dataset.train, dataset.val)]
    assert len(classes[0]) == len(classes[1]) == len(labels)
    near = {line + i for line in lines[0] for i in range(-5, 6)} & lines[1]
    edges = 2 * 5 * (len(labels) - 1)  # two classes may meet at the sides' border
    assert len(near) <= edges
