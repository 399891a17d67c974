"""A bounded hand-over: the pipeline drops something here and goes on, a worker delivers it.

Inference never waits for a network or a disk. When the target is slower than
the model, the oldest of what waits is dropped and counted; when it fails, that
is logged once per outage and counted.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Generic, TypeVar

from edgenn.errors import SinkError
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Frame, Result

_log = logging.getLogger(__name__)
_LAST_WORD = 0.5  # seconds that a worker has to notice that its time is over

T = TypeVar("T")


class Queued(Generic[T]):
    """A queue with one worker thread, which starts at once.

    Args:
        name: What log lines call the target; without passwords.
        deliver: Called by the worker with one item after the other. What it
            raises counts as an item that was not delivered; `Finished` says
            that nobody wants more.
        limit: Items that may wait, at least 1.
        drain_s: Seconds that `close` gives to what still waits.
        step: Called by the worker after each item and each `wake`; says whether
            there is more that `close` has to wait for.

    Attributes:
        delivered: Items that ``deliver`` took.
        dropped: Items that had to make room for newer ones, or came too late.
        failed: Items on which ``deliver`` raised.
        finished: Whether ``deliver`` raised `Finished`.
    """

    def __init__(
        self,
        name: str,
        deliver: Callable[[T], None],
        *,
        limit: int = 256,
        drain_s: float = 5.0,
        step: Callable[[], bool] | None = None,
    ) -> None:
        self.delivered = self.dropped = self.failed = 0
        self.finished = False
        self._name = name
        self._deliver = deliver
        self._step = step
        self._limit = limit
        self._drain_s = drain_s
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._woken = True  # what an earlier run left may be waiting
        self._deadline: float | None = None
        self._over = threading.Event()
        self._outage = False
        self._thread = threading.Thread(target=self._work, name=f"edgenn {name}", daemon=True)
        self._thread.start()

    def put(self, item: T) -> None:
        """Hand over one item, without waiting; the caller must not change it any more."""
        with self._changed:
            if self._deadline is not None or self.finished:
                self.dropped += 1
                return
            if len(self._items) >= self._limit:
                self._items.popleft()
                self.dropped += 1
            self._items.append(item)
            self._changed.notify()

    def wake(self) -> None:
        """Have the worker call ``step``; from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def remaining(self) -> float:
        """Seconds that the worker still has: infinite until `close` is called."""
        return inf if self._deadline is None else max(0.0, self._deadline - monotonic())

    def pause(self, seconds: float) -> bool:
        """Wait between two tries in ``deliver``; False where there is no time for another."""
        until = monotonic() + seconds
        while (left := until - monotonic()) > 0:
            if self._over.wait(min(left, 0.1)) or self.remaining() < left:
                return False
        return True

    def close(self) -> None:
        """Deliver what waits, for a bounded time, and log what was lost; may be called again."""
        with self._changed:
            if self._deadline is not None:
                return
            self._deadline = monotonic() + self._drain_s
            self._woken = True
            self._changed.notify()
        self._thread.join(self._drain_s)
        self._over.set()
        self._thread.join(_LAST_WORD)
        with self._changed:
            self.dropped += len(self._items)
            self._items.clear()
        if self.dropped or self.failed:
            _log.warning(
                "%s: %d results delivered, %d dropped, %d failed",
                self._name,
                self.delivered,
                self.dropped,
                self.failed,
            )

    def _work(self) -> None:
        more = False
        while not self._over.is_set():
            with self._changed:
                closing = self._deadline is not None
                if not closing or more:
                    self._changed.wait_for(self._is_due, 0.1 if closing else None)
                self._woken = False
                has = bool(self._items) and not self.finished
                if not has and closing and not more:
                    return
                item = self._items.popleft() if has else None
            if item is not None:
                self._try(item)
            more = self._step_on()

    def _is_due(self) -> bool:
        return bool(self._items) or self._woken

    def _try(self, item: T) -> None:
        try:
            self._deliver(item)
        except Finished:
            self.finished = True
        except Exception as error:  # noqa: BLE001  a worker that dies would be silent for ever
            self.failed += 1
            self._tell(error)
        else:
            self.delivered += 1
            if self._outage:
                self._outage = False
                _log.info("%s: works again", self._name)

    def _step_on(self) -> bool:
        if self._step is None:
            return False
        try:
            return self._step()
        except Exception as error:  # noqa: BLE001  as above
            self._tell(error)
            return False

    def _tell(self, error: Exception) -> None:
        known = isinstance(error, SinkError | OSError)
        if not self._outage or not known:
            text = error.strerror if isinstance(error, OSError) and error.strerror else error
            _log.warning("%s: %s", self._name, text, exc_info=None if known else error)
        self._outage = True


class QueuedSink(Sink):
    """Another sink behind such a queue, which gets copies of the frames.

    Windows on the desktop cannot be one: they belong to the main thread.

    Args:
        sink: What the worker writes to; closed after the last result.
        name: What log lines call it.
        limit: Results that may wait; each holds a frame.
        drain_s: Seconds that `close` gives to what still waits.

    Attributes:
        queue: The queue, with its counters.
    """

    def __init__(self, sink: Sink, name: str, *, limit: int = 8, drain_s: float = 5.0) -> None:
        self._sink = sink
        self.queue: Queued[Result] = Queued(name, sink.write, limit=limit, drain_s=drain_s)
        self._closed = False

    def write(self, result: Result) -> None:
        """Hand over a copy, without waiting.

        Raises:
            Finished: The sink said so of an earlier result.
        """
        if self.queue.finished:
            raise Finished
        item = result.item
        if isinstance(item, Frame):  # sources reuse their buffers
            result = dataclasses.replace(
                result, item=dataclasses.replace(item, image=item.image.copy())
            )
        self.queue.put(result)

    def close(self) -> None:
        """Drain the queue and close the sink.

        Raises:
            SinkError: The sink cannot be finished.
        """
        if not self._closed:
            self._closed = True
            self.queue.close()
            self._sink.close()
