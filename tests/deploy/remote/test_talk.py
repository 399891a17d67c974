from __future__ import annotations

import os
from time import monotonic

import pytest

from edgenn.deploy.remote import talk
from edgenn.deploy.remote.talk import GoneError, Line


@pytest.fixture
def ends():
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)


def test_requests_come_in_order_and_empty_lines_are_only_signs_of_life(ends):
    line = Line(ends[0])
    os.write(ends[1], b'{"do": "a"}\n\n\n{"do"')
    os.write(ends[1], b': "b"}\n')
    assert [line.next(), line.next()] == [{"do": "a"}, {"do": "b"}]
    os.close(ends[1])
    assert line.next() is None


def test_a_program_ends_with_the_other_side_unless_it_puts_things_back(ends):
    line, start = Line(ends[0]), monotonic()
    os.close(ends[1])
    with pytest.raises(GoneError):
        line.run(["sh", "-c", "sleep 30 & sleep 30"])
    assert monotonic() - start < 10
    assert line.run(["sh", "-c", "sleep 0.3; echo done"], heed=False).stdout == "done\n"
    with pytest.raises(GoneError):
        line.pause(30)


def test_silence_is_a_lost_connection(ends, monkeypatch):
    monkeypatch.setattr(talk, "SILENCE_S", 0.2)
    line = Line(ends[0])
    assert line.next() is None
    assert line.gone.is_set()
    os.close(ends[1])
