"""What the board says of its own power, from Linux' sysfs.

In this order, the first that is there:

- INA3221 of a Jetson: volts times amperes of each rail; the input rail alone where it has one,
  else the sum of all.
- RAPL of x86: the energy counters of the packages. Root alone may read them on most systems.
- hwmon sensors with ``power*_input``: their sum.

What they measure differs: a board's input has everything in it, RAPL the processor alone.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import TracebackType

SYS = Path("/sys")
_PERIOD_S = 0.02
# Rails that carry all that the board takes: Orin NX and Nano, Xavier NX, Nano.
_TOTALS = ("VDD_IN", "POM_5V_IN", "5V_IN")
Reading = Callable[[], float]


class Meter:
    """Reads the power in a thread of its own; a context manager.

    Args:
        root: Folder to find sensors in, ``/sys`` but for tests.

    Attributes:
        source: What measures, or why nothing does.
    """

    def __init__(self, root: Path = SYS) -> None:
        self.source, self._watts, self._counters = _find(root)
        self._times: list[float] = []
        self._joules: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="energy", daemon=True)

    def __enter__(self) -> Meter:
        if self._watts or self._counters:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()

    def joules(self, begin: float, end: float) -> float | None:
        """Energy between two moments.

        Args:
            begin: `time.monotonic`, which all processes share.
            end: The same.

        Returns:
            None where nothing measures, or not long enough to say.
        """
        times, joules = list(self._times), list(self._joules)
        if end - begin < 5 * _PERIOD_S or len(times) < 2:
            return None
        if begin < times[0] or end > times[-1] + 10 * _PERIOD_S:
            return None
        return _at(times, joules, end) - _at(times, joules, begin)

    def _follow(self) -> None:
        total, before = 0.0, [counter() for counter, _ in self._counters]
        last, watts = monotonic(), sum(read() for read in self._watts)
        while True:
            now = monotonic()
            if self._counters:
                after = [counter() for counter, _ in self._counters]
                for (_, span), old, new in zip(self._counters, before, after, strict=True):
                    total += new - old if new >= old else new - old + span
                before = after
            else:
                power = sum(read() for read in self._watts)
                total += (power + watts) / 2 * (now - last)
                last, watts = now, power
            self._joules.append(total)
            self._times.append(now)
            if self._stop.wait(_PERIOD_S):
                return


def _at(times: list[float], joules: list[float], moment: float) -> float:
    """Joules until a moment, on the line through the two readings around it."""
    i = min(max(bisect_left(times, moment), 1), min(len(times), len(joules)) - 1)
    rate = (joules[i] - joules[i - 1]) / max(times[i] - times[i - 1], 1e-9)
    return joules[i] + rate * (moment - times[i])


def _find(root: Path) -> tuple[str, list[Reading], list[tuple[Reading, float]]]:
    """What measures; readers of watts; readers of joules with the span at which they begin anew."""
    rails = _ina3221(root)
    if rails:
        total = [name for name in _TOTALS if name in rails][:1] or sorted(rails)
        return f"INA3221: {', '.join(total)}", [rails[name] for name in total], []
    counters, refused = [], False
    for zone in sorted(root.glob("class/powercap/intel-rapl:*")):
        if not _text(zone / "name").startswith("package"):
            continue  # a part of a package
        if _works(zone / "energy_uj"):
            span = _number(zone / "max_energy_range_uj") * 1e-6
            counters.append((_reader(zone / "energy_uj", 1e-6), span))
        else:
            refused = True
    if counters:
        return f"RAPL: {len(counters)} package(s), the processor alone", [], counters
    sensors = [p for p in sorted(root.glob("class/hwmon/hwmon*/power*_input")) if _works(p)]
    if sensors:
        names = [f"{_text(p.parent / 'name') or p.parent.name} {p.name[:-6]}" for p in sensors]
        return f"hwmon: {', '.join(names)}", [_reader(p, 1e-6) for p in sensors], []
    if refused:
        return "none: RAPL may be read by root only", [], []
    return "none: the board has no sensor of its power", [], []


def _ina3221(root: Path) -> dict[str, Reading]:
    """Watts of each rail, by the names that the board gives them."""
    rails: dict[str, Reading] = {}
    for folder in sorted(root.glob("class/hwmon/hwmon*")):
        if _text(folder / "name") != "ina3221":
            continue
        for label in sorted(folder.glob("in*_label")):
            number = label.name[2:-6]
            volts, amperes = folder / f"in{number}_input", folder / f"curr{number}_input"
            if _works(volts) and _works(amperes):
                rails[_text(label)] = _product(volts, amperes)
    # JetPack 4
    for label in sorted(root.glob("bus/i2c/drivers/ina3221x/*/iio*/rail_name_*")):
        power = label.with_name(f"in_power{label.name[10:]}_input")
        if _works(power):
            rails[_text(label)] = _reader(power, 1e-3)
    return rails


def _product(volts: Path, amperes: Path) -> Reading:
    return lambda: _number(volts) * _number(amperes) * 1e-6


def _reader(path: Path, unit: float) -> Reading:
    return lambda: _number(path) * unit


def _works(path: Path) -> bool:
    return _text(path).lstrip("-").isdigit()


def _number(path: Path) -> float:
    """A number in a file; 0 where it cannot be read at the moment."""
    text = _text(path)
    return float(text) if text.lstrip("-").isdigit() else 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
