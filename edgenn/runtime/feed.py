"""From what a source delivers to what a model looks at, prepared as its input tensor."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic

from edgenn.errors import UsageError
from edgenn.ops.pace import Pace
from edgenn.ops.preprocess import Geometry
from edgenn.ops.window import Windower
from edgenn.runtime.filming import Filming
from edgenn.runtime.gate import MotionGate
from edgenn.runtime.health import Health
from edgenn.runtime.intake import Intake
from edgenn.runtime.model import Model
from edgenn.types import Floats, Frame, Samples, Window

# Units that may be on their way at the same time, each with a tensor of its own.
IN_FLIGHT = 6
_CREDIBLE_S = 60.0
_POLL_S = 0.1


@dataclass(slots=True, eq=False)
class Unit:
    """One frame or window on its way through the threads of a pipeline.

    Attributes:
        item: What is looked at.
        cut: Whether the stream was cut before it, so that memory of the past is void.
        steps: Steps of the model that it is for; 0 where nothing moved, and what was found
            last still holds.
        model: What looks at it.
        captured: Monotonic seconds when it was captured or, of files, read.
        waited: Milliseconds: of files to read it, of live sources its age when it was taken up.
        tensor: The model's input.
        geometry: The way back from the net's pixels to the frame's.
        prepare_ms: Milliseconds that the tensor took.
        outputs: What the net said, once it was asked.
        infer_ms: Milliseconds that this took.
        failed: The model, which is on trial, could not; there is no result of it.
    """

    item: Frame | Window
    cut: bool
    steps: int
    model: Model
    captured: float
    waited: float
    tensor: Floats
    geometry: Geometry | None
    prepare_ms: float
    outputs: dict[str, Floats] = field(default_factory=dict)
    infer_ms: float = 0.0
    failed: bool = False


class Feed:
    """Iterates over the units of a source, once.

    Args:
        source: Delivers frames or readings.
        model: Says what it takes.
        health: Counts what is dropped, and where the stream is cut.
        stopped: Ends the iteration.
        max_fps: Frames per second at most, by their times; the others are left out.
        gate: Says which frames need the model; None means all.
    """

    def __init__(
        self,
        source: Iterable[Frame | Samples],
        model: Model,
        health: Health,
        stopped: threading.Event,
        *,
        max_fps: float | None,
        gate: MotionGate | None,
    ) -> None:
        self._source, self._model, self._health = source, model, health
        self._stopped = stopped
        self._live = bool(getattr(source, "live", False))
        spec = model.manifest.input
        self._windower: Windower | None = None
        if spec.kind == "window":
            self._windower = Windower(spec.length, spec.stride, len(spec.channels))
            self._intake = Intake(spec, health)
        self._filming: Filming | None = None
        if spec.kind == "image" and model.manifest.rate:
            self._filming = Filming(model.manifest.rate, health)
        self._max_fps = max_fps
        self._pace = Pace(max_fps, most=1) if max_fps else None
        self._gate = gate
        self._next_model: Model | None = None
        self._going = threading.Event()
        self._going.set()
        self._count = 0
        self._tensors = self._new_tensors()
        self._cut = False  # before the next unit
        self._missed = False  # items of a live source, in a pause
        self._connection = 0  # of a source that is opened again when it fails

    @property
    def is_paused(self) -> bool:
        """Whether nothing is looked at."""
        return not self._going.is_set()

    def pause(self) -> None:
        """Look at nothing until `resume`: files wait, live sources go on unseen; any thread."""
        self._going.clear()

    def resume(self) -> None:
        """Go on; from any thread."""
        self._going.set()

    def limit(self, max_fps: float | None) -> None:
        """Look at so many frames a second at most, never more than was asked for at first.

        From any thread; for models of single pictures.
        """
        rates = [rate for rate in (max_fps, self._max_fps) if rate]
        self._pace = Pace(min(rates), most=1) if rates else None

    def swap(self, model: Model) -> None:
        """Use another model, which takes the same, from the next frame on; from any thread.

        Args:
            model: Used by the threads of the pipeline alone from now on.

        Raises:
            UsageError: It takes something else.
        """
        refuse_other_input(self._model, model)
        self._next_model = model

    def __iter__(self) -> Iterator[Unit]:
        """Units in the order of the source.

        Raises:
            SourceError: The source failed, rather than ended.
            UsageError: It delivers what the model does not take.
        """
        asked = monotonic()
        for item in self._source:
            if not self._going.is_set() and not self._wait():
                continue
            self._join_up()
            self._change_model()
            for part, steps in self._parts(item):
                yield self._prepare(part, steps, asked)
                asked = monotonic()
            if self._stopped.is_set():
                return
        if self._windower is not None:
            for cut, samples in self._intake.flush():
                for window in self._windows(cut, samples):
                    yield self._prepare(window, 1, asked)

    def _wait(self) -> bool:
        """Let a pause pass; True where nothing was missed and the item is to be looked at."""
        if self._live:
            self._missed = True
            return False
        while not self._going.wait(_POLL_S) and not self._stopped.is_set():
            pass
        return not self._stopped.is_set()

    def _change_model(self) -> None:
        model, self._next_model = self._next_model, None
        if model is None:
            return
        self._model = model
        self._count, self._tensors = 0, self._new_tensors()
        spec = model.manifest.input
        if spec.kind == "window":
            self._windower = Windower(spec.length, spec.stride, len(spec.channels))
        if self._gate is not None:
            self._gate.reset()

    def _new_tensors(self) -> list[Floats]:
        # What is not read ahead is on its way alone.
        count = IN_FLIGHT if getattr(self._source, "live", None) is False else 1
        return [self._model.new_tensor() for _ in range(count)]

    def _prepare(self, item: Frame | Window, steps: int, asked: float) -> Unit:
        begun = monotonic()
        captured, waited = begun, begun - asked
        if self._live:
            captured = item.time if isinstance(item, Frame) else item.end
            # A source of the user's own may have another clock.
            if not 0 <= begun - captured < _CREDIBLE_S:
                captured = begun
            waited = begun - captured
        tensor = self._tensors[self._count % len(self._tensors)]
        self._count += 1
        geometry = None
        if steps:
            values = item.image if isinstance(item, Frame) else item.values
            _, geometry = self._model.preprocess(values, tensor)
        cut, self._cut = self._cut, False
        spent = (monotonic() - begun) * 1e3
        return Unit(item, cut, steps, self._model, captured, waited * 1e3, tensor, geometry, spent)

    def _join_up(self) -> None:
        """Begin anew where the source was opened again, or not listened to, before this item."""
        connection = getattr(self._source, "connection", 0)
        if connection == self._connection and not self._missed:
            return
        self._connection, self._missed = connection, False
        if self._windower is not None:
            self._intake.cut()
            return
        self._health.gaps += 1
        self._cut = True
        if self._filming is not None:
            self._filming.reset()
        if (pace := self._pace) is not None:
            pace.reset()
        if self._gate is not None:
            self._gate.reset()

    def _parts(self, item: Frame | Samples) -> Iterator[tuple[Frame | Window, int]]:
        """What to look at of an item, and for how many steps of the model."""
        self._refuse_other(item)
        if not isinstance(item, Frame):
            for cut, samples in self._intake.push(item):
                for window in self._windows(cut, samples):
                    yield window, 1
            return
        steps = 1
        if self._filming is not None:
            cut, steps = self._filming.push(item)
            self._cut |= cut
        elif (pace := self._pace) is not None:  # another thread may take it away
            steps = pace.push(item.time)
        if steps:
            yield item, steps if self._gate is None else int(self._gate.push(item))

    def _refuse_other(self, item: Frame | Samples) -> None:
        """Make sure that the model takes it; a source of the user's own may deliver anything."""
        if not isinstance(item, Frame | Samples):
            raise UsageError(
                f"a source delivers edgenn.types.Frame or Samples, not {type(item).__name__}"
            )
        if isinstance(item, Frame) != (self._windower is None):
            takes, gives = ("pictures", "sensor readings")[:: 1 if self._windower is None else -1]
            raise UsageError(
                f"{self._model.manifest.name} takes {takes}, but {item.source} delivers {gives}"
            )

    def _windows(self, cut: bool, samples: Samples) -> Iterator[Window]:
        """Windows of readings; none spans a place where the stream was cut."""
        assert self._windower is not None
        if cut:
            self._windower.reset()
            self._cut = True
        yield from self._windower.push(samples)


def refuse_other_input(model: Model, other: Model) -> None:
    """Make sure that a model takes what another one takes from the same source.

    Raises:
        UsageError: Says what differs.
    """
    ours, theirs = model.manifest.input, other.manifest.input
    names = f"{other.manifest.name} cannot take the place of {model.manifest.name}"
    if ours.kind != theirs.kind:
        raise UsageError(f"{names}: one takes pictures, the other sensor readings")
    rate, other_rate = model.manifest.rate, other.manifest.rate
    if rate != other_rate:
        raise UsageError(f"{names}: it takes {other_rate:g} a second, not {rate:g}")
    if ours.kind == "window" and theirs.kind == "window" and ours.channels != theirs.channels:
        raise UsageError(
            f"{names}: it takes {', '.join(theirs.channels)}, not {', '.join(ours.channels)}"
        )
