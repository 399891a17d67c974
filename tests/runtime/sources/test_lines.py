from __future__ import annotations

import logging

import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options, _lines
from edgenn.runtime.sources._lines import Lines

XY = Options(channels=("x", "y"), rate=50)


@pytest.fixture(autouse=True)
def _no_headers(monkeypatch):
    monkeypatch.setattr(_lines, "_headers", {})


def read(data, options=XY, size=10**6, **how):
    """All readings of some bytes that come in pieces of a size, and the parser."""
    lines, found = Lines("wrist", options, **how), []
    for start in range(0, len(data), size):
        samples = lines.push(data[start : start + size], 100.0)
        if samples is not None:
            found.append(samples)
    values = [s.values for s in found]
    return np.concatenate(values).tolist() if values else [], lines


@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize(
    "data",
    [
        b"1,2\n3,4\n",
        b"1;2\r\n3;4\r\n",
        b"1\t2\r3\t4\r",
        b" 1  2\n\n3 4\n",
        b"y,a,x\n2,0,1\n4,0,3\n",
        b"x,y,time\n1,2,0.5\n3,4,0.52\n",
        b"[1, 2]\n[3, 4]\n",
        b'{"y": 2, "x": 1}\n{"x": 3, "y": 4, "z": 5}\n',
        b"y,x\n[2, 1]\n[4, 3]\n",
    ],
)
def test_forms_of_lines(data, size):
    values, lines = read(data, size=size)
    assert values == [[1, 2], [3, 4]]
    assert (lines.dropped, lines.index) == (0, 2)


def test_values_that_a_sensor_could_not_measure_are_passed_on():
    values, _ = read(b'x,y\nnan,1\n,2\n{"x": null, "y": 3}\n')
    assert np.array_equal(values, [[np.nan, 1], [np.nan, 2], [np.nan, 3]], equal_nan=True)


def test_a_stream_that_begins_in_the_middle_of_a_line():
    # "34,5" has the width of a whole line: nobody could tell.
    values, lines = read(b"34,5\n1,2\n", partial=True)
    assert (values, lines.dropped) == ([[1, 2]], 0)
    assert read(b"34,5\n1,2\n")[0] == [[34, 5], [1, 2]]


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff\xfe\x00\x01\xff",
        b"rst:0x1 (POWERON_RESET),boot:0x13",
        b"1,2,3",
        b"1",
        b"1,oops!",
        b"[" * 3000,
        b"[1,[2]]",
        b'{"x": 1}',
        b'{"x": true, "y": 1}',
        b'{"x": "1", "y": 1}',
        b"9" * 5000,
        b"x" * 100_000,
        b"1_0,2",
    ],
)
def test_noise_is_dropped_counted_and_said_once(noise, caplog):
    for size in (1000, 10**6):
        caplog.clear()
        values, lines = read(b"1,2\n" + (noise + b"\n") * 2 + b"3,4\n", size=size)
        assert (values, lines.dropped) == ([[1, 2], [3, 4]], 2)
        assert caplog.text.count("such are dropped and counted") == 1


def test_a_line_without_end_takes_no_memory():
    lines = Lines("wrist", XY)
    for _ in range(1000):
        lines.push(b"x" * 1000, 0.0)
        assert len(lines._rest) <= 4096
    assert lines.push(b"\n1,2\n", 0.0).values.tolist() == [[1, 2]]
    assert lines.dropped == 1


def test_only_garbage_is_a_failure_that_quotes_it_safely():
    lines = Lines("wrist", XY)
    assert lines.push(b"\x1b[31mhello\xff!\n", 0.0) is None
    assert lines.push(b"", 9.9) is None
    with pytest.raises(SourceError, match=r"wrist delivers no readings, but lines as ") as caught:
        lines.push(b"", 10.1)
    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()


def test_only_words_are_a_failure_too():
    lines = Lines("wrist", XY)
    for second in range(10):
        lines.push(b"sensor not found\n", float(second))
    with pytest.raises(SourceError, match="sensor,not,found"):
        lines.push(b"sensor not found\n", 11.0)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"x": 1, "z": 2}\n', "wrist has no channel 'y'; there is x, z"),
        (b"1,2,3\n", "sends 3 numbers a line without a header, wanted are 2: x, y"),
    ],
)
def test_channels_that_are_not_there_are_a_failure_soon(line, message):
    lines = Lines("wrist", XY)
    lines.push(line * 19, 0.0)
    with pytest.raises(SourceError, match=message):
        lines.push(line, 0.0)


def test_a_header_without_the_channels_is_a_failure_soon():
    lines = Lines("wrist", XY)
    with pytest.raises(SourceError, match="wrist has no channel 'y'; there is a, x"):
        lines.push(b"a,x\n" + b"1,2\n" * 20, 0.0)


def test_other_messages_between_the_readings_are_no_failure():
    values, lines = read((b'{"battery": 3.7}\n' * 19 + b'{"x": 1, "y": 2}\n') * 3, size=17)
    assert values == [[1, 2]] * 3
    assert lines.dropped == 57


def test_a_header_is_remembered_when_the_source_is_opened_again():
    read(b"y,x\n2,1\n")
    assert read(b"4,3\n")[0] == [[3, 4]]


def test_columns_can_be_named_for_the_stream():
    assert read(b"7,2,1\n", columns=("time_ms", "y", "x"))[0] == [[1, 2]]


def test_all_channels_where_none_is_wanted():
    lines = Lines("wrist", Options())
    samples = lines.push(b"time,b,a\n0,1,2\n", 0.0)
    assert (samples.values.tolist(), samples.channels) == ([[1, 2]], ("b", "a"))


@pytest.mark.parametrize(("name", "step"), [("time", 0.02), ("TIMESTAMP_MS", 20), ("time_us", 2e4)])
def test_times_of_the_device_keep_their_steps(name, step):
    rows = "".join(f"{5 + i * step},1,2\n" for i in range(10))
    samples = Lines("wrist", XY).push(f"{name},x,y\n{rows}".encode(), 100.0)
    assert np.allclose(np.diff(samples.times), 0.02)
    assert samples.times[-1] == 100.0


def test_without_times_readings_that_come_together_are_spread_by_the_rate():
    lines = Lines("wrist", XY)
    lines.push(b"1,2\n", 100.0)
    samples = lines.push(b"1,2\n3,4\n5,6\n", 100.2)
    assert np.allclose(samples.times, [100.16, 100.18, 100.2])
    samples = lines.push(b"1,2\n3,4\n", 100.22)
    assert np.allclose(samples.times, [100.21, 100.22])


def test_the_last_line_may_lack_its_end(caplog):
    lines = Lines("wrist", XY)
    assert lines.push(b"1,2", 0.0) is None
    with caplog.at_level(logging.WARNING):
        assert lines.end(0.0).values.tolist() == [[1, 2]]
    lines = Lines("wrist", XY)
    assert lines.end(0.0) is None
    lines.push(b"oh no!\n", 0.0)
    with pytest.raises(SourceError, match="oh,no!"):
        lines.end(0.0)
