"""Ctrl-C and SIGTERM ask a run to end, with all that belongs to its end."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on the first signal; a second one does not wait for the end."""

    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        stop()
        signal.signal(number, before[number])  # a second one does not wait

    before = {int(n): signal.signal(n, handle) or signal.SIG_DFL for n in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
