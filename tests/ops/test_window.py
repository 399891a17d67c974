from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.window import Windower, count
from edgenn.types import Samples


def _stream(readings: int, first: int = 0) -> Samples:
    numbers = np.arange(first, first + readings)
    return Samples(np.stack([numbers, -numbers], 1).astype(np.float32), numbers / 50.0, "wrist")


def _push_in_parts(windower: Windower, stream: Samples, size: int) -> list:
    parts = range(0, len(stream.times), size)
    return [
        window
        for i in parts
        for window in windower.push(
            Samples(stream.values[i : i + size], stream.times[i : i + size], stream.source)
        )
    ]


@pytest.mark.parametrize("part", [1, 3, 7, 100])
@pytest.mark.parametrize(("length", "stride"), [(8, 3), (8, 8), (4, 11), (5, 1), (1, 1)])
def test_windows_start_every_stride_however_the_readings_arrive(length, stride, part):
    stream = _stream(61)
    windows = _push_in_parts(Windower(length, stride, 2), stream, part)
    starts = range(0, 61 - length + 1, stride)
    assert len(windows) == len(starts) == count(61, length, stride)
    for number, (window, start) in enumerate(zip(windows, starts, strict=True)):
        np.testing.assert_array_equal(window.values, stream.values[start : start + length])
        assert window.start == stream.times[start]
        assert window.end == stream.times[start + length - 1]
        assert (window.index, window.source) == (number, "wrist")


def test_no_window_spans_a_gap():
    windower = Windower(4, 2, 2)
    before = list(windower.push(_stream(7)))
    windower.reset()
    after = list(windower.push(_stream(5, first=100)))
    assert [w.values[:, 0].tolist() for w in before] == [[0, 1, 2, 3], [2, 3, 4, 5]]
    assert [w.values[:, 0].tolist() for w in after] == [[100, 101, 102, 103]]
    assert [w.index for w in before + after] == [0, 1, 2]


def test_a_gap_ends_the_readings_that_a_long_stride_skips():
    windower = Windower(2, 5, 2)
    list(windower.push(_stream(3)))
    windower.reset()
    (window,) = windower.push(_stream(2, first=50))
    assert window.values[:, 0].tolist() == [50, 51]


def test_a_window_stays_as_it_was_given_out():
    windower = Windower(3, 1, 2)
    first, *_ = list(windower.push(_stream(9)))
    assert first.values[:, 0].tolist() == [0, 1, 2]


def test_readings_with_other_channels_are_refused():
    with pytest.raises(ModelError, match="takes 3 channels per reading, wrist gives 2"):
        list(Windower(4, 2, 3).push(_stream(5)))


@pytest.mark.parametrize("readings", range(12))
def test_count_of_short_recordings(readings):
    assert count(readings, 5, 3) == len(range(0, readings - 5 + 1, 3))
