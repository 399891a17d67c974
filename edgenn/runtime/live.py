"""A live source that is read by a thread of its own and opened again when it fails.

Only the newest frame waits for the consumer, so that a slow model never looks at old
pictures; readings of sensors wait in a bounded queue. A source that fails or stalls is
opened again with exponential back-off and jitter.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

from edgenn.errors import SourceError, UnfitSourceError
from edgenn.runtime.sources import Item, Kind, Options, Source, open_source
from edgenn.types import Frame, Samples

_log = logging.getLogger(__name__)
# Longer than the 10 s of the sources themselves, which can say better what happened.
STALL_S = 12.0
# Opening waits for answers of its own, and a stream is looked into before its first frame.
_OPENING_S = 30.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0
_POLL_S = 0.1  # a stop may come from a signal handler, which must not take a lock
_JOIN_S = 1.0
_MOST_READINGS = 1024  # deliveries of a sensor
_MOST_STUCK = 4


class Live(Source):
    """Delivers the newest frame of a live source, and every reading, for as long as it is asked.

    By the protocol of sources only `SourceError` is a failure: a source that returns is
    over, and so is this one then.

    Args:
        reopen: Opens the source again; called in the reader's thread.
        source: The source, opened for the first time by the caller, so that a wrong name
            fails at once.
        retries: Failures in a row after which the run fails; None means never. A
            connection that held longer than the wait before it ends the row.
        stall: Seconds without an item that count as a failure.

    Attributes:
        dropped: Frames that were overwritten, deliveries of readings that found the queue
            full, and what the source itself counts.
        reconnects: How often the source delivered again after a failure.
        channels: Names of a sensor's channels, where the source knew them when it was opened.
        connection: Of how many connections before it the newest delivered item knows. Where
            it changes, the stream has a gap.
    """

    live = True

    def __init__(
        self,
        reopen: Callable[[], Source],
        source: Source,
        *,
        retries: int | None = None,
        stall: float = STALL_S,
    ) -> None:
        self.name, self.fps = source.name, source.fps
        self.channels: tuple[str, ...] = getattr(source, "channels", ())
        self.waits = source.waits
        self.dropped = self.reconnects = self.connection = 0
        self.stall = stall
        self._reopen, self._retries = reopen, retries
        self._changed = threading.Condition()
        self._frame: tuple[int, Frame] | None = None
        self._readings: deque[tuple[int, Samples]] = deque()
        self._error: BaseException | None = None
        self._is_over = self._stopped = self._closed = False
        self._failures, self._wait = 0, 0.0
        self._down_since: float | None = None
        self._next_index = 0
        self._delivered = False
        # Owned by this object: `close` asks it to leave and joins it for a second. One that
        # hangs in a driver or library cannot be stopped and must not be closed by another
        # thread; it is a daemon, and closes its source itself when the call returns.
        self._reader = _Reader(self, source)
        self._stuck: list[_Reader] = []

    def __iter__(self) -> Iterator[Item]:
        """Items in the order of their capture, frames numbered with those that were dropped.

        Raises:
            SourceError: The source failed more often in a row than ``retries``.
        """
        try:
            if not self._closed:
                self._reader.begin(self.stall)
                self._reader.start()
            while (entry := self._take()) is not None:
                self.connection, item = entry
                yield item
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration soon, also while it waits; fit for signal handlers."""
        self._stopped = True

    def close(self) -> None:
        """Release the source; waits for it a second at most, also where a read hangs."""
        with self._changed:
            if self._closed:
                return
            self._closed = self._stopped = True
            reader = self._reader
            reader.left.set()
            self._changed.notify_all()
        if not reader.ident:
            reader.close()
            return
        reader.join(_JOIN_S)
        if reader.is_alive():
            _log.info("%s hangs in a read; it is released when that returns", self.name)

    def _take(self) -> tuple[int, Item] | None:
        """Wait for the next item; None at the end."""
        with self._changed:
            while not self._stopped:
                if self._readings:
                    self._changed.notify_all()
                    return self._readings.popleft()
                if self._frame is not None:
                    entry, self._frame = self._frame, None
                    return entry
                if self._error is not None:
                    raise self._error
                if self._is_over:
                    return None
                self._changed.wait(_POLL_S)
                self._watch()
        return None

    def _watch(self) -> None:
        """Leave a reader that hangs to itself, and let another one open the source again."""
        late = self._reader.late()
        if not late or self._stopped:
            return
        self._reader.left.set()
        self._stuck = [r for r in [*self._stuck, self._reader] if r.is_alive()]
        self.failed(SourceError(f"{self.name} delivered nothing for {late:.1f} s"))
        self._reader = _Reader(self, None)
        self._reader.start()

    # What follows is called by the reader.

    def open_again(self) -> Source:
        """Open the source once more."""
        stuck = sum(reader.is_alive() for reader in self._stuck)
        if stuck >= _MOST_STUCK:
            raise SourceError(f"{self.name} hangs: {stuck} reads of it have not returned yet")
        return self._reopen()

    def failed(self, error: SourceError) -> None:
        """Count a failure and choose how long to wait after it; raises it after the last try,
        or where a source that never delivered is the wrong one.
        """
        with self._changed:
            if isinstance(error, UnfitSourceError) and not self._delivered:
                raise error
            self._down_since = self._down_since or monotonic()
            self._failures += 1
            if self._retries is not None and self._failures > self._retries:
                raise error
            longest = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(self._failures - 1, 10))
            self._wait = longest * random.uniform(0.5, 1)
        # Every try of a night without the camera would fill the log.
        level = logging.WARNING if self._failures == 1 else logging.INFO
        _log.log(level, "%s; it is opened again in %.1f s", error, self._wait)

    def wait(self, reader: _Reader) -> None:
        """Let the time after a failure pass, if there was one."""
        with self._changed:
            seconds = self._wait if self._failures else 0.0
        reader.left.wait(seconds)

    def lost(self, count: int) -> None:
        """The source itself lost so many items."""
        with self._changed:
            self.dropped += count

    def put(self, reader: _Reader, item: Item) -> bool:
        """Hand an item over; False when none is wanted any more."""
        with self._changed:
            if reader.left.is_set():
                return False
            if reader.is_new:
                reader.is_new = False
                reader.base = self._next_index
                self._came_back()
            self._delivered = True
            if self._failures and monotonic() - reader.opened > self._wait:
                self._failures = 0
            if isinstance(item, Frame):
                item = replace(item, index=reader.base + item.index)
                self._next_index = item.index + 1
                self.dropped += self._frame is not None
                self._frame = self.reconnects, item
            else:
                while self.waits and len(self._readings) >= _MOST_READINGS:
                    self._changed.wait(_POLL_S)
                    if reader.left.is_set():
                        return False
                if len(self._readings) >= _MOST_READINGS:
                    self._readings.popleft()
                    self.dropped += 1
                self._readings.append((self.reconnects, item))
            self._changed.notify_all()
        return True

    def _came_back(self) -> None:
        since, self._down_since = self._down_since, None
        self.reconnects += 1
        _log.warning("%s is back after %.1f s", self.name, monotonic() - (since or monotonic()))

    def end(self, reader: _Reader, error: BaseException | None) -> None:
        """The reader is done: the source is over, or nothing more can be tried."""
        with self._changed:
            if not reader.left.is_set():
                self._error, self._is_over = error, True
                self._changed.notify_all()


class _Reader(threading.Thread):
    """Reads one source after another; nobody else touches a source that it has."""

    def __init__(self, live: Live, source: Source | None) -> None:
        super().__init__(name=f"edgenn reads {live.name}", daemon=True)
        self.left = threading.Event()  # nobody wants its items any more
        self.is_new = source is None  # no item came since the source was opened again
        self.base = 0
        self.opened = 0.0
        self._live, self._source = live, source
        self._step: tuple[float, float] | None = None

    def begin(self, limit: float | None) -> None:
        """A step begins that may take so many seconds."""
        self._step = None if limit is None else (monotonic(), limit)

    def late(self) -> float:
        """Seconds that the current step has taken, once they are too many; before that 0."""
        if self._step is None:
            return 0.0
        begun, limit = self._step
        taken = monotonic() - begun
        return taken if taken > limit else 0.0

    def run(self) -> None:
        """Read until the source is over, nothing can be tried any more, or nobody listens."""
        try:
            if self._source is None:
                self._live.wait(self)
            while not self.left.is_set() and not self._read():
                self.begin(None)
                self._live.wait(self)
        except BaseException as error:  # noqa: BLE001  it is raised again where items are taken
            self._live.end(self, error)
        else:
            self._live.end(self, None)

    def _read(self) -> bool:
        """Open and read a source to its end, which is True, or to its failure."""
        try:
            if self._source is None:
                self.is_new = True
                self.begin(_OPENING_S)
                self._source = self._live.open_again()
            self.opened = monotonic()
            self._pass_on(self._source)
        except SourceError as error:
            if not self.left.is_set():
                self._live.failed(error)
            return False
        finally:
            self.close()
        return True

    def _pass_on(self, source: Source) -> None:
        lost = 0
        self.begin(self._live.stall)
        try:
            for item in source:
                self._live.lost(source.dropped - lost)
                lost = source.dropped
                self.begin(None)  # it may have to wait for the consumer
                if not self._live.put(self, item):
                    return
                self.begin(self._live.stall)
        finally:
            self._live.lost(source.dropped - lost)

    def close(self) -> None:
        """Close the source that it has."""
        if self._source is not None:
            self._source.close()
            self._source = None


def open_lasting(
    name: str | int | Path, options: Options, kind: Kind, retries: int | None
) -> Source:
    """Open a source, a live one so that it is opened again when it fails.

    Args:
        name: As `open_source` takes it.
        options: Wishes for it.
        kind: What is to be delivered.
        retries: Failures in a row after which a live source fails; None means never.

    Raises:
        SourceError: It is missing or cannot be opened.
        UsageError: It delivers frames where readings are wanted, or the reverse.
    """

    def reopen() -> Source:
        return open_source(name, options, kind)

    opened = reopen()
    return Live(reopen, opened, retries=retries) if opened.live else opened
