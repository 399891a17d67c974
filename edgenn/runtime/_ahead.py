"""An iterator that runs in a thread of its own, a bounded number of items ahead."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
_POLL_S = 0.1
_JOIN_S = 1.0

T = TypeVar("T")


class Ahead(Generic[T]):
    """Hands on the items of an iterator in their order; what it raises, it raises too.

    The next item is made while the consumer is busy with this one. The thread is a
    daemon that `close` asks to leave and joins for a second: one that hangs in a
    driver cannot be stopped.

    Args:
        items: Used by the thread alone from now on, and closed by it if it is a generator.
        name: Of the thread.
        depth: Items that may be finished or in the making before one is taken.
    """

    def __init__(self, items: Iterator[T], name: str, depth: int = 2) -> None:
        self._items = items
        # Both queues are safe in signal handlers, and neither ever holds more than a few.
        self._ready: SimpleQueue[tuple[T | None, bool]] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(depth):
            self._room.put(None)
        self._left = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=f"edgenn {name}", daemon=True)
        self._thread.start()

    def take(self, idle: Callable[[], bool]) -> Iterator[T]:
        """The items, as they are wanted.

        Args:
            idle: Called ten times a second while nothing comes; True ends the iteration.

        Raises:
            BaseException: What the iterator raised, after all that came before it.
        """
        try:
            while True:
                try:
                    item, is_last = self._ready.get(timeout=_POLL_S)
                except Empty:
                    if idle():
                        return
                    continue
                if is_last:
                    if self._error is not None:
                        raise self._error
                    return
                assert item is not None
                self._room.put(None)
                yield item
        finally:
            self.close()

    def close(self) -> None:
        """Have the thread leave after its current item; may be called again."""
        self._left.set()
        self._room.put(None)
        if self._thread is threading.current_thread():
            return
        self._thread.join(_JOIN_S)
        if self._thread.is_alive():
            _log.info("%s hangs; it is left to itself", self._thread.name)

    def _work(self) -> None:
        try:
            while True:
                self._room.get()
                if self._left.is_set():
                    break
                item = next(self._items, None)
                if item is None:
                    break
                self._ready.put((item, False))
        except BaseException as error:  # noqa: BLE001  it is raised again where items are taken
            self._error = error
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()
            self._ready.put((None, True))
