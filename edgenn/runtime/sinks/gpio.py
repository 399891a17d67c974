"""Pins of a board's header, through gpiozero: high while a label is seen, a pulse at an event.

The target says which pin means which label, in Broadcom's numbers::

    17                      high while anything is detected, a pulse at any event
    17=person               of this label alone
    17=person,27=wave       several pins
    22=door:in              of a line or zone, as --line and --zone name them
    27=wave?hold=2          stay high so many seconds longer (0.5)
    22=stop?active_low      low instead of high, for relays that switch so

Detectors drive a pin by what they see in the newest frame, classifiers, sequence models,
lines and zones by their events. The hold keeps a flicker of the detector from the pin, and is the
length of a pulse. It counts from when the result came, on the monotonic clock, so that a
pin falls also when nothing more comes. At the end all pins are let go.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from gpiozero import DigitalOutputDevice
from gpiozero.exc import GPIOZeroError

from edgenn import plugins
from edgenn.errors import SinkError, UsageError
from edgenn.runtime.sinks import Sink
from edgenn.types import Detections, Result

_log = logging.getLogger(__name__)
HOLD_S = 0.5


@dataclass(frozen=True, slots=True)
class Pin:
    """What drives a pin.

    Attributes:
        number: As Broadcom counts, GPIO17 is 17.
        label: Whose detections or events; None means any.
        hold: Seconds that it stays on after the last of them.
        active_low: Whether on is low.
    """

    number: int
    label: str | None = None
    hold: float = HOLD_S
    active_low: bool = False


class GpioSink(Sink):
    """Switches pins; a thread of its own switches them off in time.

    Args:
        pins: Each number once.

    Raises:
        SinkError: This machine has no such pin, or lets this user have none.
    """

    def __init__(self, pins: Sequence[Pin]) -> None:
        self._pins = tuple(pins)
        self._until: dict[int, float] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._devices: dict[int, DigitalOutputDevice] = {}
        for pin in self._pins:
            try:
                device = DigitalOutputDevice(pin.number, active_high=not pin.active_low)
            except (GPIOZeroError, OSError, RuntimeError) as error:
                self._release()
                raise SinkError(f"cannot use GPIO pin {pin.number}: {error}") from error
            self._devices[pin.number] = device
        self._thread = threading.Thread(target=self._fall, name="edgenn gpio", daemon=True)
        self._thread.start()

    def write(self, result: Result) -> None:
        """Switch on the pins of what is seen or has happened.

        Raises:
            SinkError: A pin does not answer.
        """
        labels = _labels(result)
        now = monotonic()
        with self._changed:
            if self._closed:
                return
            for pin in self._pins:
                if pin.label in labels or (pin.label is None and labels):
                    self._switch(pin.number, on=True)
                    self._until[pin.number] = now + pin.hold
            self._changed.notify()

    def close(self) -> None:
        """Switch all pins off and let them go; may be called again."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify()
        self._thread.join()
        self._release()

    def _fall(self) -> None:
        with self._changed:
            while not self._closed:
                now = monotonic()
                for number in [n for n, until in self._until.items() if until <= now]:
                    del self._until[number]
                    try:
                        self._switch(number, on=False)
                    except SinkError as error:
                        _log.warning("%s", error)
                first = min(self._until.values(), default=None)
                self._changed.wait(None if first is None else max(0.0, first - monotonic()))

    def _switch(self, number: int, *, on: bool) -> None:
        try:
            self._devices[number].value = on
        except (GPIOZeroError, OSError, RuntimeError) as error:
            raise SinkError(f"GPIO pin {number} does not answer: {error}") from error

    def _release(self) -> None:
        for device in self._devices.values():
            device.off()
            device.close()
        self._devices.clear()


def open_sink(target: str, fps: float = 0.0, *, labels: Sequence[str] = ()) -> GpioSink:
    """Take the pins that ``target`` names.

    Args:
        target: Pins and labels, as on top of this file.
        fps: Not used.
        labels: Those of the model and of events, so that a misspelt one is told; empty allows any.

    Raises:
        UsageError: The target is none, or names a label that there is not.
        SinkError: This machine has no such pin, or lets this user have none.
    """
    del fps
    pins = parse(target)
    for pin in pins:
        if labels and pin.label is not None and pin.label not in labels:
            hint = plugins.suggestion(pin.label, list(labels))
            raise UsageError(f"--gpio: there is no label or event {pin.label!r}{hint}")
    return GpioSink(pins)


def parse(target: str) -> tuple[Pin, ...]:
    """Take the text of ``--gpio`` apart.

    Raises:
        UsageError: It names no pin, one twice, or a setting that there is none.
    """
    pins = tuple(_pin(text.strip()) for text in target.split(","))
    numbers = [pin.number for pin in pins]
    twice = next((number for number in numbers if numbers.count(number) > 1), None)
    if twice is not None:
        raise UsageError(f"--gpio names pin {twice} twice")
    return pins


def _pin(text: str) -> Pin:
    found = re.fullmatch(r"(\d{1,3})(?:=([^?]+))?(?:\?(.*))?", text)
    if found is None:
        raise UsageError(f"--gpio wants PIN or PIN=LABEL[?hold=SECONDS][&active_low], not {text!r}")
    hold, active_low = HOLD_S, False
    for setting in filter(None, (found[3] or "").split("&")):
        name, _, value = setting.partition("=")
        if name == "hold" and re.fullmatch(r"\d+(\.\d+)?", value):
            hold = float(value)
        elif setting == "active_low":
            active_low = True
        else:
            raise UsageError(f"--gpio: {setting!r} is neither hold=SECONDS nor active_low")
    return Pin(int(found[1]), found[2], hold, active_low)


def _labels(result: Result) -> set[str]:
    """Labels that are detected now, or of events that have just been concluded."""
    found = {event.label for event in result.events}
    if isinstance(result.prediction, Detections):
        found |= {result.prediction.name(i) for i in range(len(result.prediction))}
    return found
