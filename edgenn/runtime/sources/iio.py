"""A sensor with a driver of Linux's industrial I/O (IIO): inertial, magnetic, ADC, light.

``iio:device0``, or ``iio:`` and the name that the driver gives. All settings are optional,
as ``?rate=100&buffer=128&accel=m/s2``:

- ``buffer``: read the buffer of the kernel, with so many readings in it, in which none is
  lost and each may have a time of its own; without it each value is asked for by itself.
  A buffer mostly wants a trigger to be set and the rights of root.
- ``rate``: readings per second; that of the model, of the driver, or 50.
- ``accel``, ``gyro``: units, g or m/s2 and rad/s or deg/s; the first ones.

Other channels have the units of the kernel's ABI. Heeds ``channels``, as accel_x or ax,
anglvel_x or wx or gx, voltage0, temp, and ``rate``.
"""

from __future__ import annotations

import contextlib
import math
import os
import select as waiting
import threading
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import numpy as np

from edgenn.errors import SourceError
from edgenn.runtime.devices import iio_devices, read
from edgenn.runtime.sources import Kind, Options, Source
from edgenn.runtime.sources import _scan as scan
from edgenn.runtime.sources._clock import DeviceClock
from edgenn.runtime.sources._polled import G, Polled, select
from edgenn.runtime.sources._settings import Settings
from edgenn.runtime.sources._text import POLL_S, SILENCE_S
from edgenn.types import Samples

KIND: Kind = "window"
EXAMPLE = "--sensor 'iio:device0?rate=50'"

SYSFS, DEV = Path("/sys/bus/iio/devices"), Path("/dev")
_DEFAULTS = {"buffer": "", "rate": "", "accel": "g", "gyro": "rad/s"}


class Device:
    """A sensor's folder in sysfs: names, scales and units of its channels."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self._units = {
            "accel": 1 / G if settings.choice("accel", ["g", "m/s2"]) == "g" else 1.0,
            "anglvel": 1.0
            if settings.choice("gyro", ["rad/s", "deg/s"]) == "rad/s"
            else math.degrees(1.0),
        }

    def channels(self) -> list[str]:
        """Names of the channels, as accel_x."""
        ends = ("_raw", "_input")
        names = {
            path.name[3 : -len(end)] for end in ends for path in self.folder.glob(f"in_*{end}")
        }
        return sorted(names)

    def buffered(self) -> list[str]:
        """Names of the channels that its buffer can hold."""
        names = {path.name[3:-3] for path in (self.folder / "scan_elements").glob("in_*_en")}
        return sorted(names - {"timestamp"})

    def factor(self, channel: str) -> tuple[float, float]:
        """What a raw value is multiplied with after the offset was added, and the offset."""
        kind = channel.partition("_")[0].rstrip("0123456789")
        unit = self._units.get(kind, 1.0)
        return self._shared(channel, "scale", 1.0) * unit, self._shared(channel, "offset", 0.0)

    def unit(self, channel: str) -> float:
        """Factor of a value that the driver has already scaled."""
        return self._units.get(channel.partition("_")[0], 1.0)

    def rate(self) -> float:
        """Readings per second that the driver says, or 0."""
        for path in sorted(self.folder.glob("*sampling_frequency")):
            with contextlib.suppress(ValueError):
                return float(read(path))
        return 0.0

    def write(self, name: str, text: str) -> None:
        """Set an attribute.

        Raises:
            SourceError: It cannot be set.
        """
        try:
            (self.folder / name).write_text(text, encoding="ascii")
        except OSError as error:
            raise SourceError(
                f"iio:{self.folder.name}: {name} cannot be set: {error.strerror}; it mostly "
                "wants root, or a trigger that is set before"
            ) from error

    def _shared(self, channel: str, what: str, default: float) -> float:
        kind = channel.partition("_")[0]
        for name in (channel, kind, kind.rstrip("0123456789")):
            with contextlib.suppress(ValueError):
                return float(read(self.folder / f"in_{name}_{what}"))
        return default


class IioPolled(Polled):
    """Each value is read from its file."""

    def __init__(
        self, device: Device, name: str, rate: float, chosen: list[str], labels: tuple[str, ...]
    ) -> None:
        super().__init__(name, rate, labels)
        self._files: list[tuple[Path, float, float]] = []
        for channel in chosen:
            raw = device.folder / f"in_{channel}_raw"
            if raw.exists():
                self._files.append((raw, *device.factor(channel)))
            else:
                done = device.folder / f"in_{channel}_input"
                self._files.append((done, device.unit(channel), 0.0))

    def _read(self) -> list[float]:
        try:
            return [
                (float(path.read_text(encoding="ascii")) + offset) * factor
                for path, factor, offset in self._files
            ]
        except ValueError as error:
            raise OSError(str(error)) from error

    def _release(self) -> None:
        """Nothing stays open."""


class IioBuffer(Source):
    """The kernel's buffer, switched on and off again."""

    live = True

    def __init__(
        self,
        device: Device,
        node: Path,
        name: str,
        rate: float,
        *,
        chosen: list[str],
        labels: tuple[str, ...],
        length: int,
    ) -> None:
        self.name, self.fps, self.dropped = name, rate, 0
        self._device, self._labels = device, labels
        self._closed = False
        self._in_use = threading.Lock()  # a read holds it, so that nothing is closed under it
        elements = self._enable(chosen, length)
        self._elements, self._dtype = elements, scan.record(elements)
        self._scales = [(channel, *device.factor(channel)) for channel in chosen]
        self._clock = DeviceClock(name)
        try:
            self._node = os.open(node, os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            device.write("buffer/enable", "0")
            raise SourceError(f"{name}: cannot open {node}: {error.strerror}") from error

    def _enable(self, chosen: list[str], length: int) -> dict[str, scan.Element]:
        device = self._device
        folder = device.folder / "scan_elements"
        device.write("buffer/enable", "0")
        for path in sorted(folder.glob("in_*_en")):
            channel = path.name[3:-3]
            wanted = channel in chosen or channel == "timestamp"
            device.write(f"scan_elements/{path.name}", str(int(wanted)))
        on = [path.name[3:-3] for path in sorted(folder.glob("in_*_en")) if read(path) == "1"]
        for channel in chosen:
            if channel not in on:
                raise SourceError(f"{self.name}: {channel} cannot be switched on in its buffer")
        with contextlib.suppress(SourceError):  # older kernels have one clock only
            device.write("current_timestamp_clock", "monotonic")
        with contextlib.suppress(SourceError):  # some have a fixed length
            device.write("buffer/length", str(length))
        on.sort(key=lambda channel: int(read(folder / f"in_{channel}_index") or 0))
        elements = {
            channel: scan.parse(read(folder / f"in_{channel}_type"), f"{self.name} {channel}")
            for channel in on
        }
        device.write("buffer/enable", "1")
        return elements

    def __iter__(self) -> Iterator[Samples]:
        """Readings as the buffer gives them, with times of the monotonic clock."""
        rest, index, heard = b"", 0, monotonic()
        try:
            while not self._closed:
                data = self._take()
                now = monotonic()
                if not data:
                    if now - heard > SILENCE_S:
                        raise SourceError(
                            f"{self.name} delivered nothing for {SILENCE_S:.0f} s; is its trigger "
                            "set?"
                        )
                    continue
                heard, rest = now, rest + data
                count = len(rest) // self._dtype.itemsize
                if count:
                    records = np.frombuffer(rest, self._dtype, count)
                    rest = rest[count * self._dtype.itemsize :]
                    yield self._samples(records, now, index)
                    index += count
        finally:
            self.close()

    def close(self) -> None:
        """Switch the buffer off; a reader in another thread leaves within 0.2 s."""
        if self._closed:
            return
        self._closed = True
        with self._in_use:
            os.close(self._node)
        with contextlib.suppress(SourceError):  # unplugged
            self._device.write("buffer/enable", "0")

    def _take(self) -> bytes:
        try:
            with self._in_use:
                if self._closed:
                    return b""
                ready, _, _ = waiting.select([self._node], [], [], POLL_S)
                data = os.read(self._node, 65_536) if ready else None
        except BlockingIOError:
            return b""
        except OSError as error:
            raise SourceError(f"{self.name} broke off: {error.strerror}") from error
        if data == b"":
            raise SourceError(f"{self.name} broke off: its buffer has ended")
        return data or b""

    def _samples(self, records: np.ndarray, now: float, index: int) -> Samples:
        values = np.empty((len(records), len(self._scales)), np.float32)
        for column, (channel, factor, offset) in enumerate(self._scales):
            raw = self._elements[channel].decode(records[channel])
            values[:, column] = (raw + offset) * factor
        if "timestamp" in self._elements:
            device = self._elements["timestamp"].decode(records["timestamp"]) / 1e9
            times = self._clock.map(device, now)
        else:
            times = now - np.arange(len(records) - 1, -1, -1, dtype=np.float64) / self.fps
        return Samples(values, times, self.name, index, self._labels)


def open_source(name: str, options: Options, sysfs: Path = SYSFS, dev: Path = DEV) -> Source:
    """Open a sensor.

    Args:
        name: As above.
        options: ``channels`` and ``rate``.
        sysfs: Folder with a folder per device.
        dev: Folder of the nodes with the buffers.

    Raises:
        SourceError: There is no such sensor or setting, it has no channel that is wanted,
            or its buffer cannot be switched on.
    """
    settings = Settings(name.removeprefix("/dev/iio:"), "iio", _DEFAULTS)
    there = iio_devices(sysfs)
    folder = next((sysfs / f"iio:{n}" for n, d in there if settings.rest in (n, d)), None)
    if folder is None:
        known = ", ".join(f"{n} ({d})" for n, d in there) or "none"
        raise SourceError(f"there is no IIO device {settings.rest}; there is {known}")
    device = Device(folder, settings)
    shown = folder.name
    there_is = device.buffered() if settings["buffer"] else device.channels()
    chosen = select(options.channels, there_is, shown)
    if not chosen:
        raise SourceError(f"{shown} has no channel that can be read")
    rate = settings.number("rate", 0.1, 100_000) if settings["rate"] else options.rate
    labels = options.channels or tuple(chosen)
    if not settings["buffer"]:
        return IioPolled(device, shown, rate or min(device.rate(), 1000.0) or 50.0, chosen, labels)
    length = int(settings.number("buffer", 2, 1_000_000))
    rate = device.rate() or rate or 50.0
    return IioBuffer(
        device, dev / folder.name, shown, rate, chosen=chosen, labels=labels, length=length
    )
