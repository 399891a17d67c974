"""Ctrl-C, SIGTERM and a terminal that is gone ask a run to end, with all that belongs to it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none
# A supervisor that signals a process and its group sends two at once.
_SAME_S = 1.0


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on the first signal; one that comes later does not wait for the end."""
    first: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        del frame
        if number == _HANGUP:
            _leave_terminal()
        if first is None:
            first = monotonic()
            stop()
        elif monotonic() - first > _SAME_S:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    heeded = list(_SIGNALS)
    # With nohup a run outlives its terminal.
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        heeded.append(_HANGUP)
    before = {int(n): signal.signal(n, handle) or signal.SIG_DFL for n in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave_terminal() -> None:
    """What is still written to a terminal that is gone must not fail the end of the run."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for file in (1, 2):
        if os.isatty(file):
            os.dup2(nowhere, file)
    os.close(nowhere)
