"""Records a camera and a sensor, each read by a thread of its own, on one clock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from time import monotonic
from typing import Any

import edgenn
from edgenn.errors import SourceError, UsageError
from edgenn.runtime.live import open_lasting
from edgenn.runtime.recording import SCHEMA_VERSION, VIDEO, RecordingWriter
from edgenn.runtime.sources import Item, Kind, Options, Source
from edgenn.types import Frame

_log = logging.getLogger(__name__)
QUALITY = 90
_KINDS: dict[str, Kind] = {"video": "image", "sensor": "window"}
_SYNC_S = 5.0
_STEP_S = 0.25
_JOIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """What has been recorded so far.

    Attributes:
        seconds: Time of the newest item on the recording's clock.
        frames: Number of frames.
        readings: Number of readings.
        gaps: How often a source failed and came back.
        dropped: Frames and deliveries of readings that were lost, for each part.
    """

    seconds: float
    frames: int
    readings: int
    gaps: int
    dropped: Mapping[str, int]


class Recorder:
    """Stores sources as a folder that ``edgenn run --source`` replays.

    Args:
        sources: "video", "sensor" or both. Of live ones, time counts from the call of
            `run`; of files, it is their own.
        folder: A new or empty one.
        channels: Names of the sensor's channels; empty takes those that its readings tell.
        duration: End after so many seconds.
        max_frames: End after so many frames, or readings where there is no video.
        quality: Of the JPEGs, 1..100.

    Raises:
        UsageError: A live source and a file have no common clock.
        SinkError: The folder is not empty or cannot be written.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        folder: Path,
        *,
        channels: Sequence[str] = (),
        duration: float | None = None,
        max_frames: int | None = None,
        quality: int = QUALITY,
    ) -> None:
        if len({source.live for source in sources.values()}) > 1:
            raise UsageError("a live source and a file have no common clock to be recorded on")
        self._sources = dict(sources)
        self._live = all(source.live for source in sources.values())
        self._duration, self._max_frames = duration, max_frames
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._start = 0.0
        self._writer = RecordingWriter(folder, self._describe(channels, quality), quality)

    def run(self, progress: Callable[[Recorded], None] | None = None) -> Recorded:
        """Record to the end; ``progress`` is called about four times a second.

        Raises:
            SourceError: A source failed; what it delivered before is recorded.
            SinkError: The disk is full; what was recorded before can be replayed.
        """
        self._start = monotonic() if self._live else 0.0
        threads = [
            threading.Thread(target=self._record, args=part, name=f"edgenn records {part[0]}")
            for part in self._sources.items()
        ]
        try:
            for thread in threads:
                thread.daemon = True  # one that hangs in a driver must not hold up the end
                thread.start()
            self._watch(threads, progress)
            return self._finish(threads)
        finally:
            self._writer.abandon()

    def stop(self) -> None:
        """Ask the recording to end; from any thread or signal handler."""
        self._stopped.set()

    def so_far(self) -> Recorded:
        """The numbers at this moment."""
        writer = self._writer
        dropped = {name: source.dropped for name, source in self._sources.items()}
        return Recorded(writer.last, writer.frames, writer.readings, writer.gaps, dropped)

    def _watch(
        self, threads: list[threading.Thread], progress: Callable[[Recorded], None] | None
    ) -> None:
        synced = monotonic()
        while any(thread.is_alive() for thread in threads):
            over = self._live and self._is_late(monotonic() - self._start)
            if self._stopped.wait(_STEP_S) or over:
                return
            # Here, so that a slow disk holds up no source.
            if monotonic() - synced > _SYNC_S:
                self._writer.sync()
                synced = monotonic()
            if progress is not None:
                progress(self.so_far())

    def _finish(self, threads: list[threading.Thread]) -> Recorded:
        self._stopped.set()
        for source in self._sources.values():
            stop = getattr(source, "stop", None)
            if stop is not None:
                stop()
        for thread in threads:
            thread.join(_JOIN_S)
        for source in self._sources.values():
            source.close()
        done = self.so_far()
        if self._error is not None and not isinstance(self._error, SourceError):
            raise self._error
        self._writer.finish(dict(done.dropped))
        if self._error is not None:
            raise self._error
        return done

    # In the thread of a source.

    def _record(self, part: str, source: Source) -> None:
        connection = 0
        try:
            for item in source:
                if self._stopped.is_set():
                    return
                now = getattr(source, "connection", 0)
                if now != connection:
                    connection = now
                    self._writer.add_gap(part)
                if not self._store(item):
                    return
        except BaseException as error:  # noqa: BLE001  it is raised again where it is waited for
            self._error = self._error or error
            self._stopped.set()
        finally:
            source.close()

    def _store(self, item: Item) -> bool:
        """Write one item; False where it is the last one of its source or comes too late."""
        if isinstance(item, Frame):
            if self._is_late(item.time - self._start):
                return False
            self._writer.add_frame(item, item.time - self._start)
            count = self._writer.frames
        else:
            if len(item.times) and self._is_late(float(item.times[-1]) - self._start):
                return False
            self._writer.add_readings(item, self._start)
            count = 0 if "video" in self._sources else self._writer.readings
        if self._max_frames is None or count < self._max_frames:
            return True
        self._stopped.set()
        return False

    def _is_late(self, time: float) -> bool:
        return self._duration is not None and time > self._duration

    def _describe(self, channels: Sequence[str], quality: int) -> dict[str, Any]:
        meta: dict[str, Any] = {
            "schema": SCHEMA_VERSION,
            "edgenn": edgenn.__version__,
            "started": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        }
        for name, source in self._sources.items():
            meta[name] = {"source": source.name, "fps": source.fps}
        if "video" in meta:
            meta["video"] |= {"file": VIDEO, "codec": "mjpeg", "quality": quality}
        if "sensor" in meta:
            meta["sensor"]["channels"] = list(channels)
        return meta


def open_part(
    part: str,
    source: str,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    retries: int | None = None,
) -> tuple[Source, tuple[str, ...]]:
    """Open what is to be recorded; a live source is opened again when it fails.

    Args:
        part: "video" or "sensor".
        source: As `open_source` takes it.
        size: Width, height in pixels to ask a camera for.
        fps: Frames per second to ask a camera for.
        retries: Failures in a row after which a live source fails; None means never.

    Returns:
        The source, and the names of a sensor's channels, where they are known by now.

    Raises:
        SourceError: It is missing or cannot be opened.
        UsageError: It delivers frames where readings are wanted, or the reverse.
    """
    opened = open_lasting(source, Options(size, fps), _KINDS[part], retries)
    return opened, getattr(opened, "channels", ())
