from __future__ import annotations

import threading
from time import monotonic

import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources.csv import open_source

XY = Options(channels=("x", "y"), rate=20)


@pytest.fixture
def write(tmp_path):
    def write(text: str, encoding: str = "utf-8"):
        path = tmp_path / "s.csv"
        path.write_text(text, encoding=encoding)
        return str(path)

    return write


def read(name, options=XY):
    chunks = list(open_source(name, options))
    return np.concatenate([c.values for c in chunks]), np.concatenate([c.times for c in chunks])


def test_channels_by_name_in_the_order_of_the_model(write):
    values, times = read(write("label,y,time,x\nsit,1,0.5,10\nsit,2,0.55,20\n"))
    assert values.tolist() == [[10, 1], [20, 2]]
    assert times.tolist() == [0.5, 0.55]


def test_without_times_the_rate_makes_them(write):
    _, times = read(write("x,y\n1,1\n2,2\n3,3\n"))
    assert np.allclose(times, [0, 0.05, 0.1])


def test_all_columns_where_none_is_chosen(write):
    values, _ = read(write("time,b,a\n0,1,2\n1,3,4\n"), Options())
    assert values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_byte_order_mark_and_blank_lines(write, separator):
    text = "x,y\n1,2\n\n3,4\n".replace(",", separator)
    values, _ = read(write(text, "utf-8-sig"))
    assert values.tolist() == [[1, 2], [3, 4]]


def test_long_files_come_in_chunks_without_loss(write):
    name = write("x,y\n" + "".join(f"{i},0\n" for i in range(150)))
    chunks = list(open_source(name, XY))
    assert [len(c.times) for c in chunks] == [64, 64, 22]
    assert np.concatenate([c.values for c in chunks])[:, 0].tolist() == list(range(150))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2\n1,oops\n", "line 3: y 'oops' is not a number"),
        ("1,2\n\nn/a,2\n", "line 4: x 'n/a' is not a number"),
        ("1,2\n1\n", "line 3: y is missing"),
    ],
)
def test_words_and_missing_columns_stop_the_replay(write, rows, message):
    with pytest.raises(SourceError, match=message):
        read(write("x,y\n" + rows))


def test_values_that_a_sensor_could_not_measure_are_passed_on(write):
    values, times = read(write("time,x,y\n0,1,2\n0.05,nan,2\n0.1,,3\n,4,-inf\n0.2,5,6\n"))
    assert np.array_equal(times, [0, 0.05, 0.1, np.nan, 0.2], equal_nan=True)
    assert np.array_equal(
        values, [[1, 2], [np.nan, 2], [np.nan, 3], [4, -np.inf], [5, 6]], equal_nan=True
    )


def test_a_clock_that_was_set_back_is_passed_on(write):
    _, times = read(write("time,x,y\n5,1,1\n5.05,1,1\n1,1,1\n"))
    assert times.tolist() == [5, 5.05, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,z\n1,2\n", r"has no column 'y'; there is x, z"),
        ("x,why\n1,2\n", r"has no column 'y'"),
        ("1,2\n3,4\n", "has no header"),
        ("", "has no header"),
        ("x,y\n", "has a header but no readings"),
    ],
)
def test_files_that_do_not_fit_are_refused(write, text, message):
    with pytest.raises(SourceError, match=message):
        read(write(text))


def test_neither_times_nor_rate(write):
    with pytest.raises(SourceError, match="no column time or timestamp, and no known rate"):
        open_source(write("x,y\n1,2\n"), Options())


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "s.csv"
    path.write_bytes(b"x,y\n" + b"1,2\n" * 5000 + b"\xff\xfe\n")
    with pytest.raises(SourceError, match="cannot be read as CSV"):
        read(str(path))


def test_a_recording_at_real_speed(tmp_path):
    path = tmp_path / "s.csv"
    rows = "".join(f"{5 + i / 50:.2f},{i}\n" for i in range(50))
    path.write_text(f"time,x\n{rows}", encoding="utf-8")
    begun, late = None, []
    with open_source(str(path), Options(realtime=True)) as source:
        assert not source.live
        for found in source:
            begun = begun or monotonic() - (found.times[-1] - 5)
            late.append(monotonic() - begun - (found.times[0] - 5))
            assert found.times[-1] - found.times[0] < 0.05
    assert 0.95 < monotonic() - begun < 3
    assert np.median(late) < 0.06
    assert min(late) > -0.01


def test_closing_a_recording_at_real_speed_ends_it_soon(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("time,x\n0,0\n1000,1\n", encoding="utf-8")
    source = open_source(str(path), Options(realtime=True))
    items = iter(source)
    next(items)
    threading.Timer(0.1, source.close).start()
    begun = monotonic()
    assert list(items) == []
    assert monotonic() - begun < 1
