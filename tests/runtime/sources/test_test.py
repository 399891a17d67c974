from __future__ import annotations

from itertools import islice
from time import monotonic, sleep

import numpy as np
import pytest

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources.test import open_source, truth


def red(image):
    """Box of what is red: x1 y1 x2 y2."""
    rows, columns = np.nonzero(image[..., 2] > 128)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_the_square_is_where_the_truth_says():
    frames = list(open_source("//?size=96x64&frames=300", Options()))
    assert len(frames) == 300
    boxes = [red(f.image) for f in frames]
    assert boxes == [truth(f.index, 96, 64) for f in frames]
    assert len(set(boxes)) > 100
    assert max(x2 for *_, x2, _ in boxes) == 96
    assert [f.time for f in frames] == [i / 25 for i in range(300)]


def test_with_a_rate_it_is_live_and_late_frames_are_lost():
    source = open_source("//?size=64x64&fps=50", Options())
    assert source.live
    begun = monotonic()
    frames = iter(source)
    first = list(islice(frames, 10))
    assert 0.17 < monotonic() - begun < 0.5
    assert np.all(np.diff([f.time for f in first]) > 0.005)
    sleep(0.2)
    late = next(frames)
    assert late.index >= 9 + 8
    assert source.dropped == late.index - 10
    assert red(late.image) == truth(late.index, 64, 64)


def test_fails_and_hangs_when_told_to():
    frames = []
    with pytest.raises(SourceError, match="fails at frame 3"):
        frames.extend(open_source("//?fail_at=3", Options()))
    assert len(frames) == 3
    begun = monotonic()
    assert len(list(open_source("//?stall_at=2&stall=0.3&frames=5", Options()))) == 5
    assert monotonic() - begun > 0.3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("//bars", "no test pattern '//bars'"),
        ("//?colour=1", "no setting 'colour' .* there is size, fps"),
        ("//?size=0x3", "size '0x3' is not WIDTHxHEIGHT"),
        ("//?fps=fast", "fps 'fast' is not a number"),
        ("//?fps=-1", "fps '-1' is not a number"),
        ("//?fps=nan", "fps 'nan' is not a number"),
        ("//?frames=inf", "frames 'inf' is not a number"),
    ],
)
def test_refuses_what_it_does_not_know(name, message):
    with pytest.raises(SourceError, match=message):
        open_source(name, Options())
