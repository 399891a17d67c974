from __future__ import annotations

import sys
from time import monotonic, sleep

import gpiozero
import numpy as np
import pytest
from gpiozero.pins.mock import MockFactory

from edgenn import plugins
from edgenn.errors import MissingExtraError, SinkError, UsageError
from edgenn.runtime import sinks
from edgenn.runtime.sinks.gpio import Pin, open_sink, parse
from edgenn.types import Classification, Detections, Event, Frame, Result, Window

IMAGE = np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def board(monkeypatch):
    """Pins that are none, by number."""
    factory = MockFactory()
    monkeypatch.setattr(gpiozero.Device, "pin_factory", factory)
    return factory.pin


def seen(*labels):
    names = ("person", "cat")
    ids = np.array([names.index(label) for label in labels], int)
    n = len(labels)
    found = Detections(np.ones((n, 4), np.float32), np.ones(n, np.float32), ids, names)
    return Result(Frame(IMAGE, 0.0, 0), found)


def happened(*labels):
    scores = Classification(np.array([1.0], np.float32), ("wave",))
    window = Window(np.zeros((1, 1), np.float32), 0, 1)
    return Result(window, scores, tuple(Event(label, 0, 1, 0.9) for label in labels))


def wait_until(condition):
    until = monotonic() + 5
    while not condition():
        assert monotonic() < until
        sleep(0.005)


def test_a_pin_is_high_while_its_label_is_seen_and_falls_after_the_hold(board):
    sink = open_sink("17=person?hold=0.2,27")
    assert (board(17).state, board(27).state) == (0, 0)
    for _ in range(10):
        sink.write(seen("person"))
        sleep(0.05)
        assert board(17).state == 1
    begun = monotonic()
    sink.write(seen("cat"))
    wait_until(lambda: not board(17).state)
    assert 0.05 < monotonic() - begun < 0.4
    assert board(27).state == 1
    sink.close()


def test_an_event_is_a_pulse_also_when_nothing_more_comes(board):
    sink = open_sink("17=wave?hold=0.1&active_low")
    assert board(17).state == 1
    sink.write(happened())
    assert board(17).state == 1
    sink.write(happened("wave"))
    assert board(17).state == 0
    wait_until(lambda: board(17).state)
    sink.close()


def test_pins_are_off_and_free_after_the_end(board):
    sink = open_sink("17?hold=60")
    sink.write(seen("cat"))
    assert board(17).state == 1
    sink.close()
    assert not board(17).state
    assert board(17).function == "input"
    sink.write(seen("cat"))
    assert not board(17).state
    open_sink("17").close()


def test_a_pin_that_is_taken_or_not_there_is_an_error_and_frees_the_others(board):
    other = open_sink("17")
    with pytest.raises(SinkError, match=r"cannot use GPIO pin 17: .*in use"):
        open_sink("18,17")
    with pytest.raises(SinkError, match="cannot use GPIO pin 99"):
        open_sink("99")
    open_sink("18").close()
    other.close()


def test_the_text():
    assert parse("17") == (Pin(17),)
    assert parse("17=person, 27=stop sign?hold=2&active_low") == (
        Pin(17, "person"),
        Pin(27, "stop sign", 2.0, True),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "wants PIN or PIN=LABEL"),
        ("person", "not 'person'"),
        ("17=", "wants PIN"),
        ("17,17=cat", "names pin 17 twice"),
        ("17?hold=long", "'hold=long' is neither"),
        ("17?high", "'high' is neither hold=SECONDS nor active_low"),
    ],
)
def test_other_texts_are_refused(text, message):
    with pytest.raises(UsageError, match=message):
        open_sink(text)


def test_a_misspelt_label_is_told():
    with pytest.raises(UsageError, match="no label or event 'persn'; did you mean 'person'"):
        open_sink("17=persn", labels=("person", "cat"))


def test_a_missing_gpiozero_is_named_with_its_pip_line(monkeypatch):
    monkeypatch.delitem(sys.modules, "edgenn.runtime.sinks.gpio")
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    with pytest.raises(MissingExtraError, match=r"'gpiozero': pip install 'edgenn\[gpio\]'"):
        plugins.load(sinks, "gpio")
