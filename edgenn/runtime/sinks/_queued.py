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
from typing import Generic, NamedTuple, TypeVar

from edgenn.errors import SinkError
from edgenn.runtime.health import SinkCounts
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Frame, Result

_log = logging.getLogger(__name__)
# What comes from a file is written to the end, unless the target hangs.
_PATIENCE_S = 60.0
# What comes through a pipe can wait, but a target that hangs must not stop the others.
_PIPE_S = 5.0
_LAST_WORD = 0.5  # seconds that a worker has to notice that its time is over


class Message(NamedTuple):
    """The bytes that say a result.

    Attributes:
        body: The bytes.
        captured: Monotonic seconds, as in the result.
    """

    body: bytes
    captured: float


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
        counts: Where to count.

    Attributes:
        delivered: Items that ``deliver`` took.
        counts: Items that had to make room for newer ones or came too late; items on which
            ``deliver`` raised; and how long it took from capture until it had taken one.
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
        counts: SinkCounts | None = None,
    ) -> None:
        self.delivered = 0
        self.counts = counts or SinkCounts()
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
        self._outage = self._hangs = False
        self._thread = threading.Thread(target=self._work, name=f"edgenn {name}", daemon=True)
        self._thread.start()

    def put(self, item: T, *, patience: float = 0.0) -> None:
        """Hand over one item; the caller must not change it any more.

        Args:
            item: The item.
            patience: Seconds to wait for room before the oldest is dropped. After one such
                wait in vain, nothing waits until there is room again.
        """
        with self._changed:
            if self._has_room():
                self._hangs = False
            elif patience and not self._hangs:
                self._hangs = not self._changed.wait_for(
                    self._has_room, None if patience == inf else patience
                )
            if self._deadline is not None or self.finished:
                self.counts.dropped += 1
                return
            if len(self._items) >= self._limit:
                self._items.popleft()
                self.counts.dropped += 1
            self._items.append(item)
            self._changed.notify_all()

    def wake(self) -> None:
        """Have the worker call ``step``; from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

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
            self._changed.notify_all()
        self._thread.join(self._drain_s)
        self._over.set()
        self._thread.join(_LAST_WORD)
        with self._changed:
            self.counts.dropped += len(self._items)
            self._items.clear()
        if self.counts.dropped or self.counts.failed:
            _log.warning(
                "%s: %d results delivered, %d dropped, %d failed",
                self._name,
                self.delivered,
                self.counts.dropped,
                self.counts.failed,
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
                self._changed.notify_all()
            if item is not None:
                self._try(item)
            more = self._step_on()

    def _has_room(self) -> bool:
        return len(self._items) < self._limit or self._deadline is not None or self.finished

    def _is_due(self) -> bool:
        return bool(self._items) or self._woken

    def _try(self, item: T) -> None:
        try:
            self._deliver(item)
        except Finished:
            with self._changed:
                self.finished = True
                self._changed.notify_all()
        except Exception as error:  # noqa: BLE001  a worker that dies would be silent for ever
            self.counts.failed += 1
            self._tell(error)
        else:
            self.delivered += 1
            captured = getattr(item, "captured", 0.0)
            if captured:
                self.counts.latency.add((monotonic() - captured) * 1e3)
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
    """Another sink behind such a queue.

    Windows on the desktop cannot be one: they belong to the main thread.

    Args:
        sink: What the worker writes to; closed after the last result.
        name: What log lines call it.
        limit: Results that may wait; each holds a frame.
        drain_s: Seconds that `close` gives to what still waits.
        every: Wait where the queue is full, and raise what the sink raises. Otherwise the
            oldest result goes, and failures are logged and counted.
        waits: Wait some seconds where the queue is full, before the oldest result goes.
        copies: Write copies of the frames, for sources that reuse their buffers.
        counts: Where to count.

    Attributes:
        queue: The queue, with its counters.
    """

    def __init__(
        self,
        sink: Sink,
        name: str,
        *,
        limit: int = 8,
        drain_s: float = 5.0,
        every: bool = False,
        waits: bool = False,
        copies: bool = True,
        counts: SinkCounts | None = None,
    ) -> None:
        self._sink = sink
        self._every, self._copies = every, copies
        self._patience = inf if every else _PIPE_S * waits
        self._error: Exception | None = None
        drain_s = _PATIENCE_S if every else drain_s
        self.queue: Queued[Result] = Queued(
            name, self._write, limit=limit, drain_s=drain_s, counts=counts
        )
        self._closed = False

    def write(self, result: Result) -> None:
        """Hand over one result.

        Raises:
            SinkError: An earlier one could not be written, where every one counts.
            Finished: The sink said so of an earlier result.
        """
        self._raise()
        if self.queue.finished:
            raise Finished
        item = result.item
        if self._copies and isinstance(item, Frame):
            result = dataclasses.replace(
                result, item=dataclasses.replace(item, image=item.image.copy())
            )
        self.queue.put(result, patience=self._patience)

    def close(self) -> None:
        """Drain the queue and close the sink.

        Raises:
            SinkError: The sink cannot be finished, or not all could be written.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self.queue.close()
        finally:
            self._sink.close()
        self._raise()

    def _write(self, result: Result) -> None:
        try:
            self._sink.write(result)
        except Exception as error:
            if not self._every or isinstance(error, Finished):
                raise
            self._error = error
            raise Finished from error

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
