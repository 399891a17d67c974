"""Which frames of a video a model over video sees; a model that counts its steps tells."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from edgenn.runtime.filming import Filming
from edgenn.runtime.health import Health
from edgenn.types import Frame

IMAGE = np.zeros((4, 4, 3), np.uint8)


def film(times, rate=10.0):
    """What becomes of frames at these times, and the counters."""
    health = Health()
    filming = Filming(rate, health)
    return [filming.push(Frame(IMAGE, t, i, "door")) for i, t in enumerate(times)], health


def test_frames_that_come_too_early_are_left_out():
    told, health = film(np.arange(30) / 30)
    assert [steps for _, steps in told] == [1, 0, 0] * 10
    assert not any(cut for cut, _ in told)
    assert health.gaps == 0


@pytest.mark.parametrize("times", [(0, 0.1, 0.2, 5.0, 5.1), (7, 7.1, 7.2, 0.0, 0.1)])
def test_a_pause_and_a_step_back_begin_anew(times):
    told, health = film(times)
    assert told == [(False, 1), (False, 1), (False, 1), (True, 1), (False, 1)]
    assert health.gaps == 1


def test_frames_of_a_slow_source_count_for_several_steps(caplog):
    caplog.set_level(logging.WARNING)
    told, health = film(np.arange(40) / 4)
    assert sum(steps for _, steps in told) == pytest.approx(100, abs=3)
    assert health.gaps == 0
    (record,) = caplog.records
    assert "door gives 4 frames a second, the model was trained on 10" in record.getMessage()


def test_a_lost_frame_is_no_gap():
    told, health = film([0.0, 0.1, 0.3, 0.4])
    assert [steps for _, steps in told] == [1, 1, 2, 1]
    assert health.gaps == 0


def test_a_source_far_too_slow_never_fills_a_stream():
    told, health = film(np.arange(5) * 2.0)
    assert [steps for _, steps in told] == [1] * 5
    assert health.gaps == 4


def test_a_source_that_was_opened_again_begins_anew_without_a_pause():
    filming = Filming(10.0, Health())
    times = np.arange(8) / 20
    before = [filming.push(Frame(IMAGE, t, i, "door")) for i, t in enumerate(times[:4])]
    assert [steps for _, steps in before] == [1, 0, 1, 0]
    filming.push(Frame(IMAGE, times[4], 4, "door"))
    filming.reset()
    assert filming.push(Frame(IMAGE, times[5], 5, "door")) == (False, 1)
