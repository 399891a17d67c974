"""Being asked to stop: Ctrl-C, or SIGTERM from a service manager."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType

_log = logging.getLogger(__name__)


class StopRequest:
    """While active, the first signal sets ``asked`` and the second acts as it always does.

    Attributes:
        asked: Somebody wants the training to end after this step.
    """

    _SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> StopRequest:
        # Python allows handlers in the main thread alone.
        self._old = {}
        if threading.current_thread() is threading.main_thread():
            self._old = {s: signal.signal(s, self._handle) for s in self._SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.asked = True
        self._restore()
        _log.warning(
            "%s: finishing this step, then saving; once more stops at once",
            signal.Signals(number).name,
        )

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
