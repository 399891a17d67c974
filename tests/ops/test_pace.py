from __future__ import annotations

import numpy as np
import pytest

from edgenn.ops.pace import Pace, pick


def times(fps, seconds=4.0):
    return np.arange(round(seconds * fps)) / fps


@pytest.mark.parametrize("fps", [5, 8, 10, 12, 15, 24, 25, 29.97, 30, 60])
@pytest.mark.parametrize("rate", [5, 10, 15])
def test_every_step_has_the_nearest_frame(fps, rate):
    at = times(fps)
    chosen = pick(at, rate)
    due = np.arange(len(chosen)) / rate
    assert abs(len(chosen) - 4 * rate) <= rate / fps + 1
    # That a source is slow shows with its second frame.
    known = due > 1 / fps
    assert np.abs(at[chosen] - due)[known].max() <= 0.5 / fps + 2e-3


def test_a_video_of_the_right_rate_is_taken_as_it_is():
    assert pick(times(10), 10).tolist() == list(range(40))
    assert pick(times(30), 10).tolist() == list(range(0, 120, 3))
    assert pick(times(5), 10).tolist() == [0, 1, *np.repeat(np.arange(1, 20), 2)]


def test_rounded_times_change_nothing():
    assert pick(np.round(times(30), 3), 10).tolist() == pick(times(30), 10).tolist()


def test_where_the_clock_begins_does_not_matter():
    assert pick(times(25) + 1234.5, 10).tolist() == pick(times(25), 10).tolist()


def test_one_frame_has_no_more_steps_than_it_may():
    pace = Pace(10, most=4)
    assert [pace.push(t) for t in (0.0, 60.0)] == [1, 4]


def test_after_a_reset_the_next_frame_is_the_first():
    pace = Pace(10)
    assert [pace.push(t) for t in (0.0, 0.02, 0.04)] == [1, 0, 0]
    pace.reset()
    assert [pace.push(t) for t in (0.06, 0.08)] == [1, 0]
