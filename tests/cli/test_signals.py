from __future__ import annotations

import os
import signal

import pytest

from edgenn.cli import _signals
from edgenn.cli._signals import stop_on_signals


@pytest.mark.usefixtures("heeded")
def test_two_signals_at_once_are_one_and_a_later_one_does_not_wait(monkeypatch):
    stops, now = [], [100.0]
    monkeypatch.setattr(_signals, "monotonic", lambda: now[0])
    with stop_on_signals(lambda: stops.append(1)):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert len(stops) == 1
        now[0] += 1.5
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals(lambda: None):
        assert signal.getsignal(signal.SIGTERM) is not before
    assert signal.getsignal(signal.SIGTERM) is before


def test_under_nohup_a_run_outlives_its_terminal():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stops = []
    try:
        with stop_on_signals(lambda: stops.append(1)):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stops
