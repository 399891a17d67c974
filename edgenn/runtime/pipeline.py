"""The loop: source, model, temporal stages, sinks, each in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Literal, TypeVar

from edgenn.errors import ModelError, UsageError
from edgenn.runtime import _parts
from edgenn.runtime._ahead import Ahead
from edgenn.runtime._background import Background, iterate_async
from edgenn.runtime.degrade import Governor
from edgenn.runtime.feed import Feed, Unit
from edgenn.runtime.gate import MotionGate
from edgenn.runtime.health import Health, Summary
from edgenn.runtime.heat import Thermometer
from edgenn.runtime.live import open_lasting
from edgenn.runtime.model import Model
from edgenn.runtime.sinks import Finished, Sink
from edgenn.runtime.sinks._queued import QueuedSink
from edgenn.runtime.sources import Options, Source
from edgenn.types import Detections, Event, Frame, Mark, Prediction, Result, Samples, Window

P = TypeVar("P", bound="Pipeline")
# No net for a small device takes so long: the engine or its driver hangs.
HUNG_S = 60.0


class Pipeline:
    """Runs a model over a source: iterate to get each `Result`, or call `run`.

    Pictures are read, and of files also prepared, in one thread; the net runs in a
    second one; decoding and temporal stages run where results are taken, and each sink
    in a thread of its own. All hand-overs are bounded. Of a file every frame is looked
    at and written; of a live source the newest, and a sink that cannot keep up loses the
    oldest of what waits for it, which is counted. Recordings of sensors, whose nets take
    less time than a change of threads, are followed in one thread.

    It is used once: iterated over, by ``for`` or ``async for``, or run, by `run` or in the
    background by `start`. It closes its source and sinks at the end, on an error, and when
    its ``with`` block is left. `stop`, `pause`, `resume` and `swap` may come from any
    thread. Given the same recording it comes to the same decisions, bit for bit.

    Args:
        source: Text or number as `open_source` takes it, an open source, or
            anything that iterates over `Frame` or `Samples`.
        model: A loaded model, or what `load` takes. Several pipelines may be given the
            same one: they share its engine.
        sinks: Every result is written to each of them.
        max_frames: End after so many frames or windows.
        max_fps: Look at so many frames a second at most, by their times.
        gate: "motion" leaves the net out while nothing moves; what it found last is carried
            on, and looked at again every 10 seconds.
        latency_budget: Milliseconds from capture to result that a live source may take.
            Where they are not kept, or the device is too hot, less is done: see
            `edgenn.runtime.degrade`.
        fallback: A smaller model with the same labels, as ``model``, for when a lower rate
            is not enough; without a budget it is for heat alone.
        stages: Temporal stages and their parameters, after those of the manifest.
        on_beat: Called with `health` where results are taken: after each, and ten times
            a second while none comes. For watchdogs.

    Attributes:
        model: The model of the newest result, with buffers and memory of its own.
        health: Counters and latencies, at any time.

    Raises:
        EdgennError: The source or the model cannot be opened.
        UsageError: The model does not take what the source delivers, or an argument is not
            for such a model or source.
    """

    def __init__(
        self,
        source: Iterable[Frame | Samples] | str | int | Path,
        model: Model | str | Path,
        sinks: Sequence[Sink] = (),
        *,
        max_frames: int | None = None,
        max_fps: float | None = None,
        gate: Literal["motion"] | None = None,
        latency_budget: float | None = None,
        fallback: Model | str | Path | None = None,
        stages: Mapping[str, Mapping[str, object]] | None = None,
        on_beat: Callable[[Health], None] | None = None,
    ) -> None:
        numbers = {"max_frames": max_frames, "max_fps": max_fps, "latency_budget": latency_budget}
        _parts.refuse_numbers(numbers)
        if gate not in (None, "motion"):
            raise UsageError(f"gate must be 'motion' or None, not {gate!r}")
        self.model = _parts.own(model)
        self.health = Health()
        self._max_frames = max_frames
        self._on_beat = on_beat
        self._stopped = threading.Event()
        self._is_used = False
        self._more_stages = stages or {}
        self._stages = _parts.build_stages(self.model, self._more_stages)
        smaller = None if fallback is None else _parts.smaller(self.model, fallback)
        self._models = (self.model, smaller)
        self._governor: Governor | None = None
        if latency_budget is not None or smaller is not None:
            self._governor = Governor(
                latency_budget, has_smaller=smaller is not None, thermometer=Thermometer()
            )
        wishes = {"max_fps": max_fps, "gate": gate, "latency_budget": self._governor}
        _parts.refuse_for_streams(self.model, [name for name, wish in wishes.items() if wish])
        if isinstance(source, str | int | Path):
            source = open_for(self.model, source)
        self._source: Iterable[Frame | Samples] = source
        self._live = bool(getattr(source, "live", False))
        if self._governor is not None and not self._live:
            raise UsageError("--latency-budget and --fallback are for cameras and streams")
        self._feed = Feed(
            source,
            self.model,
            self.health,
            self._stopped,
            max_fps=max_fps,
            gate=MotionGate() if gate else None,
        )
        self._found: Prediction = Detections.empty(self.model.labels)
        # What is no source of this package may use one buffer for all its frames.
        copies = not hasattr(source, "live")
        self._sinks = [self._outlet(sink, copies) for sink in sinks]
        for sink in sinks:
            attach = getattr(sink, "attach", None)
            if attach is not None:
                attach(self.health)
        self._busy_since: float | None = None
        self._threads: list[Ahead[Unit]] = []
        self._background: Background | None = None

    def __iter__(self) -> Iterator[Result]:
        """One result per frame or window, as it is handed to the sinks.

        Raises:
            SourceError: The source failed, rather than ended.
            SinkError: A sink could not write what comes from a file.
            ModelError: The net cannot take the input, or hangs.
            UsageError: It was used before.
        """
        if self._is_used:
            raise UsageError("a pipeline is used once; make another one")
        self._is_used = True
        result = None
        self.health.start()
        try:
            for unit in self._inferred():
                made = self._try_conclude(unit)
                if made is not None:
                    result = made
                    if not self._deliver(result):
                        return
                    yield result
                self._beat()
                if self._is_over():
                    break
            closing = self._reset()
            if result is not None and closing:
                result = replace(result, events=closing)
                if self._deliver(result):
                    yield result
        finally:
            self._count_losses()
            self.close()

    def __aiter__(self) -> AsyncIterator[Result]:
        """The same for ``async for``: results are awaited in a thread of their own."""
        return iterate_async(self)

    def run(self, callback: Callable[[Result], None] | None = None) -> Summary:
        """Run to the end, calling back with every result.

        Raises:
            SourceError: The source failed, rather than ended.
            SinkError: A sink could not write what comes from a file.
            ModelError: The net cannot take the input, or hangs.
        """
        with contextlib.closing(self):
            for result in self:
                if callback is not None:
                    callback(result)
        return self.health.summary()

    def start(self, callback: Callable[[Result], None] | None = None) -> None:
        """Do the same as `run` in a thread of its own; `wait` tells how it ended.

        Args:
            callback: Called in that thread with every result; what it raises ends the run.

        Raises:
            UsageError: It was started before.
        """
        if self._background is not None:
            raise UsageError("a pipeline is started once; make another one")
        self._background = Background(lambda: self.run(callback))

    def wait(self, timeout: float | None = None) -> Summary | None:
        """Wait for the end of a run that was started.

        Args:
            timeout: Seconds at most; None waits for as long as it takes.

        Returns:
            The run in numbers; None where it goes on.

        Raises:
            UsageError: It was not started.
            Exception: What ended it: what `run` raises, or the callback.
        """
        if self._background is None:
            raise UsageError("the pipeline was not started; call start first")
        return self._background.wait(timeout)

    @property
    def is_paused(self) -> bool:
        """Whether `pause` holds."""
        return self._feed.is_paused

    @property
    def busy_s(self) -> float:
        """Seconds that the inference that goes on has taken; 0 where there is none."""
        since = self._busy_since
        return 0.0 if since is None else monotonic() - since

    def pause(self) -> None:
        """Look at nothing until `resume`.

        A file waits. A live source stays open, what it delivers is not looked at, and the
        stream counts as cut when it goes on. Frames that are on their way still give results.
        """
        self._feed.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._feed.resume()

    def swap(
        self, model: Model | str | Path, on_fault: Callable[[Exception], None] | None = None
    ) -> None:
        """Go on with another model from the next frame on.

        Frames that are on their way are finished by the one before, so that results stay in
        order and none is lost. Temporal stages go on where labels and stages are the same,
        and are begun anew otherwise.

        Args:
            model: As for the pipeline itself.
            on_fault: Called, in a thread of the pipeline, with what this model raises: frames
                that it fails on give no result, and the run goes on. None ends the run.

        Raises:
            EdgennError: It cannot be opened; the run goes on as before.
            UsageError: It does not take what this model takes.
        """
        other = _parts.own(model)
        other.on_fault = on_fault
        _parts.build_stages(
            other, self._more_stages
        )  # those that cannot be made are told here, not in the run
        self._feed.swap(other)
        self._models = other, self._models[1]

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
        self.stop()
        if self._background is not None:
            self._background.join()
        with contextlib.ExitStack() as stack:
            stack.callback(_parts.close_together, self._sinks)
            stack.callback(self._close_source)
            # First, as the threads still use the source.
            for thread in self._threads:
                stack.callback(thread.close)

    def __enter__(self: P) -> P:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _inferred(self) -> Iterator[Unit]:
        """Units with the net's outputs; made by other threads, but for recordings of sensors."""
        units = iter(self._feed)
        is_file = getattr(self._source, "live", None) is False
        if is_file and self.model.manifest.input.kind == "window":
            return map(self._infer, units)
        if is_file:
            reading = Ahead(units, "reads")
            self._threads.append(reading)
            units = reading.take(self._stopped.is_set)
        inferring = Ahead(map(self._infer, units), "infers")
        self._threads.insert(0, inferring)
        return inferring.take(self._beat)

    def _infer(self, unit: Unit) -> Unit:
        if unit.cut:
            unit.model.reset()
        self._busy_since = begun = monotonic()
        try:
            for _ in range(unit.steps):
                unit.outputs = unit.model.infer(unit.tensor)
        except Exception as error:  # noqa: BLE001  goes on but for a model on trial
            _forgive(unit, error)
        self._busy_since = None
        unit.infer_ms = (monotonic() - begun) * 1e3
        return unit

    def _try_conclude(self, unit: Unit) -> Result | None:
        """None where a model on trial fails."""
        if unit.failed:
            return None
        try:
            return self._conclude(unit)
        except Exception as error:  # noqa: BLE001  goes on but for a model on trial
            _forgive(unit, error)
            return None

    def _conclude(self, unit: Unit) -> Result:
        """Decode, follow over time, and measure."""
        begun = monotonic()
        events = self._reset() if unit.cut else ()
        if unit.model is not self.model:
            events += self._adopt(unit.model)
        if unit.steps:
            self._found = unit.model.decode(unit.outputs, unit.geometry)
        else:
            self.health.carried += 1
        prediction = self._found
        for stage in self._stages:
            prediction, ended = stage.update(unit.item, prediction)
            events += ended
        now = monotonic()
        latency = {
            "capture": unit.waited,
            "preprocess": unit.prepare_ms,
            "inference": unit.infer_ms,
            "decode": (now - begun) * 1e3,
            "total": (now - unit.captured) * 1e3 + (0.0 if self._live else unit.waited),
        }
        self.health.add(latency)
        self._count_losses()
        if self._governor is not None and self._governor.update(now, latency["total"]):
            self._obey(self._governor)
        return Result(unit.item, prediction, events, latency, unit.captured, self._marks(unit.item))

    def _marks(self, item: Frame | Window) -> tuple[Mark, ...]:
        if not isinstance(item, Frame):
            return ()
        return tuple(mark for stage in self._stages for mark in stage.marks(item))

    def _adopt(self, model: Model) -> tuple[Event, ...]:
        """Results are those of another model from now on."""
        before, self.model = self.model, model
        if before.labels == model.labels and before.manifest.temporal == model.manifest.temporal:
            return ()
        self._found = Detections.empty(model.labels)
        events = self._reset()
        self._stages = _parts.build_stages(model, self._more_stages)
        return events

    def _obey(self, governor: Governor) -> None:
        level = governor.level
        self.health.level, self.health.reason = level.number, level.reason
        self._feed.limit(level.max_fps)
        model = self._models[level.smaller]
        assert model is not None
        self._feed.swap(model)

    def _deliver(self, result: Result) -> bool:
        try:
            for sink in self._sinks:
                sink.write(result)
        except Finished:
            return False
        return True

    def _outlet(self, sink: Sink, copies: bool) -> Sink:
        """A thread for a sink, unless it has one or belongs to the thread of its user."""
        name = getattr(sink, "label", type(sink).__module__.rpartition(".")[2])
        if isinstance(sink, QueuedSink) or getattr(sink, "inline", False):
            counts = getattr(sink, "counts", None)
            if counts is not None:
                self.health.sink(name, counts)
            return sink
        counts = self.health.sink(name)
        return QueuedSink(
            sink,
            name,
            every=not self._live,
            waits=bool(getattr(self._source, "waits", False)),
            copies=copies,
            counts=counts,
        )

    def _close_source(self) -> None:
        close = getattr(self._source, "close", None)
        # A generator in which a thread hangs cannot be closed.
        if close is not None and not getattr(self._source, "gi_running", False):
            close()

    def _reset(self) -> tuple[Event, ...]:
        return tuple(event for stage in self._stages for event in stage.reset())

    def _beat(self) -> bool:
        """Say that this thread lives; True where the run is to end."""
        if self.busy_s > HUNG_S:
            raise ModelError(
                f"{self.model.variant.file}: the {self.model.variant.engine} engine hangs: one "
                f"inference has taken more than {HUNG_S:.0f} s"
            )
        if self._on_beat is not None:
            self._on_beat(self.health)
        return self._stopped.is_set()

    def _count_losses(self) -> None:
        self.health.dropped = getattr(self._source, "dropped", 0)
        self.health.reconnects = getattr(self._source, "reconnects", 0)

    def _is_over(self) -> bool:
        return self._stopped.is_set() or self.health.frames == self._max_frames


def _forgive(unit: Unit, error: Exception) -> None:
    """Tell the one who put a model on trial; any other model's error goes on."""
    if unit.model.on_fault is None:
        raise error
    unit.failed = True
    unit.model.on_fault(error)


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
    return open_lasting(source, options, spec.kind, retries)
