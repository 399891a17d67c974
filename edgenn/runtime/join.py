"""A camera and a sensor together, joined by the times of their frames and readings.

The main source is the one that the model looks at; what it delivers is passed on, with
what the side source had at that time. Recordings are read in lock-step by time: the same
files give the same, however fast they are read. A live side source is read by a thread
of its own. What waits is bounded and losses are counted, and a side source that fails
leaves the main one alone.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from edgenn.errors import SourceError, UsageError
from edgenn.runtime.live import open_lasting
from edgenn.runtime.model import Model
from edgenn.runtime.pipeline import open_for
from edgenn.runtime.sources import Item, Options, Source
from edgenn.types import Frame, Samples

_log = logging.getLogger(__name__)
_JOIN_S = 1.0
_MOST_READINGS = 20_000
_MOST_FRAMES = 4
_Held = deque[Item]


class Joined(Source):
    """Delivers the main source's items with what belongs to them.

    Frames get ``readings``, those with times after the frame before and up to their own;
    a live reading that comes late goes with the next frame. Readings get ``frame``, the
    newest that is not newer than their last one; they are cut where a frame begins.

    Args:
        main: Delivers what the model takes.
        side: Delivers the other kind; live if and only if ``main`` is, because recordings
            have clocks of their own.

    Attributes:
        side_dropped: Readings or frames of the side source that were lost for lack of
            room: nothing of the main source came for long.

    Raises:
        UsageError: One is live and the other is not.
    """

    def __init__(self, main: Source, side: Source) -> None:
        if main.live != side.live:
            live, file = (main, side) if main.live else (side, main)
            raise UsageError(
                f"{live.name} is live and {file.name} a recording: they have no common time"
            )
        self.name, self.live, self.fps = main.name, main.live, main.fps
        self._main = main
        self._beside = _Threaded(side) if side.live else _LockStep(side)
        self._frame: Frame | None = None

    @property
    def dropped(self) -> int:  # type: ignore[override]
        """Items of the main source that could not be delivered."""
        return self._main.dropped

    @property
    def reconnects(self) -> int:
        """How often the main source came back."""
        return int(getattr(self._main, "reconnects", 0))

    @property
    def connection(self) -> int:
        """See `Live`: where it changes, the main stream has a gap."""
        return int(getattr(self._main, "connection", 0))

    @property
    def side_dropped(self) -> int:
        """See above."""
        return self._beside.dropped

    def __iter__(self) -> Iterator[Item]:
        """The main source's items.

        Raises:
            SourceError: The main source failed.
        """
        self._beside.start()
        try:
            for item in self._main:
                if isinstance(item, Frame):
                    yield replace(item, readings=self._readings(item.time))
                else:
                    yield from self._cut(item)
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration soon; fit for signal handlers."""
        for source in (self._main, self._beside.source):
            stop = getattr(source, "stop", None)
            if stop is not None:
                stop()

    def close(self) -> None:
        """Close both; may be called again."""
        self._main.close()
        self._beside.close()

    def _readings(self, until: float) -> Samples | None:
        """Readings up to a time, in the order of their source; None where there are none."""
        parts: deque[Samples] = deque()
        count = 0
        while isinstance(found := self._beside.pop(), Samples):
            # A time that is not known (NaN) stays where it came.
            later = np.flatnonzero(found.times > until)
            end = int(later[0]) if len(later) else len(found.times)
            if end:
                parts.append(found.cut(0, end))
                count += end
                # A recording that begins hours before the video, or a long gap in that.
                while count - len(parts[0].times) >= _MOST_READINGS:
                    lost = len(parts.popleft().times)
                    count -= lost
                    self._beside.dropped += lost
            if len(later):
                self._beside.give_back(found.cut(end, len(found.times)))
                break
        if not parts:
            return None
        return replace(
            parts[0],
            values=np.concatenate([part.values for part in parts]),
            times=np.concatenate([part.times for part in parts]),
        )

    def _cut(self, samples: Samples) -> Iterator[Samples]:
        """Readings with the newest frame, in parts where that changes within them."""
        start, finite = 0, samples.times[np.isfinite(samples.times)]
        newest = float(finite.max()) if len(finite) else -np.inf
        while isinstance(found := self._beside.pop(), Frame):
            if found.time > newest:
                self._beside.give_back(found)
                break
            first = int(np.flatnonzero(samples.times >= found.time)[0])
            if first > start:
                yield replace(samples.cut(start, first), frame=self._frame)
                start = first
            self._frame = found
        yield replace(samples.cut(start, len(samples.times)), frame=self._frame)


class _LockStep:
    """A recording, read as far as is asked for."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.dropped = 0
        self._items: Iterator[Item] | None = None
        self._next: Item | None = None

    def start(self) -> None:
        self._items = iter(self.source)

    def pop(self) -> Item | None:
        """The next item; None at the end."""
        if self._next is not None:
            found, self._next = self._next, None
            return found
        if self._items is None:
            return None
        try:
            return next(self._items, None)
        except SourceError as error:
            _log.warning("%s; the other source goes on without it", error)
            self._items = None
            return None

    def give_back(self, item: Item) -> None:
        """It is not its time yet."""
        self._next = item

    def close(self) -> None:
        self.source.close()


class _Threaded:
    """A live source, read by a thread that this object owns."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.dropped = 0
        self._items: _Held = deque()
        self._count = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._read, name=f"edgenn joins {source.name}", daemon=True
        )
        self._closed = False

    def start(self) -> None:
        if not self._closed:
            self._thread.start()

    def pop(self) -> Item | None:
        """The oldest item that waits; None where there is none."""
        with self._lock:
            if not self._items:
                return None
            item = self._items.popleft()
            self._count -= _size(item)
            return item

    def give_back(self, item: Item) -> None:
        """It is not its time yet."""
        with self._lock:
            self._items.appendleft(item)
            self._count += _size(item)

    def close(self) -> None:
        self._closed = True
        self.source.close()
        if self._thread.ident and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)

    def _read(self) -> None:
        try:
            for item in self.source:
                if self._closed:
                    return
                self._keep(item)
        except SourceError as error:
            _log.warning("%s; the other source goes on without it", error)
        except Exception:  # noqa: BLE001
            # Whatever is wrong with it, the model looks at the other source.
            _log.exception("%s crashed; the other source goes on without it", self.source.name)

    def _keep(self, item: Item) -> None:
        most = _MOST_FRAMES if isinstance(item, Frame) else _MOST_READINGS
        with self._lock:
            self._items.append(item)
            self._count += _size(item)
            while self._count > most and len(self._items) > 1:
                lost = _size(self._items.popleft())
                self._count -= lost
                if not self.dropped and isinstance(item, Samples):
                    _log.warning("%s delivers more than is taken", self.source.name)
                self.dropped += lost


def _size(item: Item) -> int:
    return 1 if isinstance(item, Frame) else len(item.times)


def open_joined(
    model: Model,
    pictures: str,
    readings: str,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    retries: int | None = None,
) -> Joined:
    """Open a camera or video and a sensor; what the model takes is the main one.

    Live ones are opened again when they fail. Of a sensor at the side all channels are
    read, at its own rate.

    Args:
        model: What looks at the main source.
        pictures: As `open_source` takes it.
        readings: The same.
        size: Width, height in pixels to ask a camera for.
        fps: Frames per second to ask a camera for, or to assume of a folder of pictures.
        retries: Failures in a row after which a live source fails; None means never.

    Raises:
        SourceError: One is missing or cannot be opened.
        UsageError: One does not deliver its kind, or one is live and the other is not.
    """
    is_main = model.manifest.input.kind == "image"
    if is_main:
        main = open_for(model, pictures, size=size, fps=fps, retries=retries)
    else:
        main = open_for(model, readings, retries=retries)
    try:
        if is_main:
            side = open_lasting(readings, Options(), "window", retries)
        else:
            side = open_lasting(pictures, Options(size, fps), "image", retries)
        try:
            return Joined(main, side)
        except UsageError:
            side.close()
            raise
    except (SourceError, UsageError):
        main.close()
        raise
