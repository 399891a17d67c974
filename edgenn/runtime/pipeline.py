"""The loop: source, model, temporal stages, sinks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from edgenn import plugins
from edgenn.errors import UsageError
from edgenn.ops.window import Windower
from edgenn.runtime import temporal
from edgenn.runtime.filming import Filming
from edgenn.runtime.health import Health, Summary
from edgenn.runtime.intake import Intake
from edgenn.runtime.live import Live
from edgenn.runtime.model import Model, load
from edgenn.runtime.sinks import Finished, Sink
from edgenn.runtime.sources import Options, Source, open_source
from edgenn.types import Event, Frame, Result, Samples, Window

P = TypeVar("P", bound="Pipeline")


class Pipeline:
    """Runs a model over a source: iterate to get each `Result`, or call `run`.

    It is used once, and closes its source and sinks at the end, on an error,
    and when its ``with`` block is left. Given the same recording it comes to
    the same decisions, bit for bit.

    Args:
        source: Text or number as `open_source` takes it, an open source, or
            anything that iterates over `Frame` or `Samples`.
        model: A loaded model, or what `load` takes.
        sinks: Every result is written to each of them, in this order.
        max_frames: End after so many frames or windows.

    Attributes:
        model: The model.
        health: Counters and latencies, at any time.

    Raises:
        EdgennError: The source or the model cannot be opened.
        UsageError: The model does not take what the source delivers.
    """

    def __init__(
        self,
        source: Iterable[Frame | Samples] | str | int | Path,
        model: Model | str | Path,
        sinks: Sequence[Sink] = (),
        *,
        max_frames: int | None = None,
    ) -> None:
        self.model = model if isinstance(model, Model) else load(model)
        self.health = Health()
        self._sinks = tuple(sinks)
        self._max_frames = max_frames
        self._stopped = threading.Event()
        self._stages: list[temporal.Stage] = [
            plugins.load(temporal, name).build(params, self.model.labels)
            for name, params in self.model.manifest.temporal.items()
        ]
        spec = self.model.manifest.input
        self._windower: Windower | None = None
        if spec.kind == "window":
            self._windower = Windower(spec.length, spec.stride, len(spec.channels))
            self._intake = Intake(spec, self.health)
        self._filming: Filming | None = None
        if spec.kind == "image" and spec.rate:
            self._filming = Filming(spec.rate, self.health)
        self._steps = 1  # of the model, that the current item is for
        self._cut_off: tuple[Event, ...] = ()
        self._connection = 0  # of a source that is opened again when it fails
        if isinstance(source, str | int | Path):
            source = open_for(self.model, source)
        self._source: Iterable[Frame | Samples] = source

    def __iter__(self) -> Iterator[Result]:
        """One result per frame or window, after the sinks had it.

        Raises:
            SourceError: The source failed, rather than ended.
            SinkError: A sink could not write.
        """
        result = None
        self.model.reset()
        self.health.start()
        try:
            for item, waited in self._items():
                result = self._look(item, waited)
                if not self._deliver(result):
                    return
                yield result
            closing = self._reset()
            if result is not None and closing:
                result = Result(result.item, result.prediction, closing, result.latency_ms)
                if self._deliver(result):
                    yield result
        finally:
            self._count_losses()
            self.close()

    def run(self, callback: Callable[[Result], None] | None = None) -> Summary:
        """Run to the end, calling back with every result.

        Raises:
            SourceError: The source failed, rather than ended.
            SinkError: A sink could not write.
        """
        with contextlib.closing(self):
            for result in self:
                if callback is not None:
                    callback(result)
        return self.health.summary()

    def stop(self) -> None:
        """Ask the run to end after the current frame; from any thread or signal handler."""
        self._stopped.set()
        # One that waits for a frame would not hear of it.
        stop = getattr(self._source, "stop", None)
        if stop is not None:
            stop()

    def close(self) -> None:
        """Close the source and the sinks; may be called again.

        Raises:
            SinkError: A sink could not finish; the others are closed all the same.
        """
        with contextlib.ExitStack() as stack:
            for sink in self._sinks:
                stack.callback(sink.close)
            close = getattr(self._source, "close", None)
            if close is not None:
                stack.callback(close)

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _items(self) -> Iterator[tuple[Frame | Window, float]]:
        """What to look at, and the milliseconds that were spent to get it."""
        asked = perf_counter()
        for unit in self._all_units():
            if unit is not None:
                yield unit, (perf_counter() - asked) * 1e3
                asked = perf_counter()
            if self._is_over():
                return

    def _all_units(self) -> Iterator[Frame | Window | None]:
        """Frames or windows, and None after each item of the source."""
        for item in self._source:
            self._join_up()
            yield from self._units(item)
            yield None
        if self._windower is not None:
            yield from self._windows(self._intake.flush())

    def _join_up(self) -> None:
        """Begin anew where the source was opened again before the newest item."""
        connection = getattr(self._source, "connection", 0)
        if connection == self._connection:
            return
        self._connection = connection
        if self._windower is not None:
            self._intake.cut()
            return
        self.health.gaps += 1
        self._cut_off = self._reset()
        if self._filming is not None:
            self._filming.reset()

    def _count_losses(self) -> None:
        self.health.dropped = getattr(self._source, "dropped", 0)
        self.health.reconnects = getattr(self._source, "reconnects", 0)

    def _units(self, item: Frame | Samples) -> Iterator[Frame | Window]:
        if isinstance(item, Frame) != (self._windower is None):
            takes, gives = ("pictures", "sensor readings")[:: 1 if self._windower is None else -1]
            raise UsageError(
                f"{self.model.manifest.name} takes {takes}, but {item.source} delivers {gives}"
            )
        if isinstance(item, Frame):
            yield from self._frames(item)
            return
        yield from self._windows(self._intake.push(item))

    def _frames(self, frame: Frame) -> Iterator[Frame]:
        """The frame, unless a model over video is to leave it out."""
        if self._filming is not None:
            cut, self._steps = self._filming.push(frame)
            if cut:
                self._cut_off = self._reset()
        if self._steps:
            yield frame

    def _windows(self, parts: Iterator[tuple[bool, Samples]]) -> Iterator[Window]:
        """Windows of readings; none spans a place where the stream was cut."""
        assert self._windower is not None
        for cut, part in parts:
            if cut:
                self._windower.reset()
                self._cut_off = self._reset()
            yield from self._windower.push(part)

    def _look(self, item: Frame | Window, waited: float) -> Result:
        start = perf_counter()
        prediction = self.model.predict(item)
        for _ in range(self._steps - 1):
            prediction = self.model.predict(item)
        events, self._cut_off = self._cut_off, ()
        for stage in self._stages:
            prediction, ended = stage.update(item, prediction)
            events += ended
        total = waited + (perf_counter() - start) * 1e3
        latency = {"capture": waited, **self.model.latency_ms, "total": total}
        self.health.add(latency)
        self._count_losses()
        return Result(item, prediction, events, latency)

    def _deliver(self, result: Result) -> bool:
        try:
            for sink in self._sinks:
                sink.write(result)
        except Finished:
            return False
        return True

    def _reset(self) -> tuple[Event, ...]:
        self.model.reset()
        ended = tuple(event for stage in self._stages for event in stage.reset())
        return self._cut_off + ended

    def _is_over(self) -> bool:
        return self._stopped.is_set() or self.health.frames == self._max_frames


def open_for(
    model: Model,
    source: str | int | Path,
    *,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    retries: int | None = None,
) -> Source:
    """Open a source for what a model takes; a live one is opened again when it fails.

    Args:
        model: Says which channels of a sensor file it wants, and at what rate.
        source: As `open_source` takes it.
        size: Width, height in pixels to ask a camera for.
        fps: Frames per second to ask a camera for, or to assume of a folder of pictures.
        retries: Failures in a row after which a live source fails; None means never.

    Raises:
        SourceError: It is missing or cannot be opened.
        UsageError: It does not deliver what the model takes.
    """
    spec = model.manifest.input
    if spec.kind == "window":
        options = Options(size, fps, spec.channels, spec.rate)
    else:
        options = Options(size, fps)

    def reopen() -> Source:
        return open_source(source, options, spec.kind)

    opened = reopen()
    return Live(reopen, opened, retries=retries) if opened.live else opened
