"""How warm the device is, and whether it holds its clocks down, from Linux' sysfs.

Thermal zones are read everywhere; the flags of a Raspberry Pi's firmware (bits 1 to 3 of
``get_throttled``: frequency capped, throttled, soft temperature limit) and the cooling devices
that cap a clock (``cpufreq``, ``devfreq``, Jetson) where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

THERMAL = Path("/sys/class/thermal")
# Where Raspberry Pi OS has them, in the order of its kernels.
FLAGS = (
    Path("/sys/devices/platform/soc/soc:firmware/get_throttled"),
    Path("/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled"),
)
_THROTTLED = 0b1110
# Of zones that name no trip point. A Pi caps its clock at 80 °C.
LIMIT_C = 80.0
# What is hot stays so until it has cooled by as much.
MARGIN_C = 5.0
_CREDIBLE_C = (20.0, 150.0)


@dataclass(frozen=True, slots=True)
class Heat:
    """One look.

    Attributes:
        celsius: The warmest zone in degrees Celsius, or None where nothing is known.
        reason: Why the device should do less, as part of a sentence; empty if it need not.
    """

    celsius: float | None
    reason: str = ""


class Thermometer:
    """Reads it; what is hot stays hot until it is `MARGIN_C` cooler.

    Args:
        thermal: Folder of the thermal zones and cooling devices.
        flags: Files of the firmware's flags; the first that exists counts.
    """

    def __init__(self, thermal: Path = THERMAL, flags: tuple[Path, ...] = FLAGS) -> None:
        self._limits = {zone: _limit(zone) for zone in sorted(thermal.glob("thermal_zone*"))}
        self._coolers = [
            path / "cur_state"
            for path in sorted(thermal.glob("cooling_device*"))
            if "freq" in _text(path / "type")
        ]
        self._flags = next((path for path in flags if path.exists()), None)
        self._was_hot = False

    def read(self) -> Heat:
        """Look now; takes some microseconds a zone."""
        warmest, hot = None, ""
        for zone, limit in self._limits.items():
            degrees = _degrees(zone)
            if degrees is None:
                continue
            warmest = degrees if warmest is None else max(warmest, degrees)
            if degrees >= limit - (MARGIN_C if self._was_hot else 0.0):
                hot = hot or f"{_text(zone / 'type')} has {degrees:.0f} °C"
        if self._flags is not None and _number(self._flags, 16) & _THROTTLED:
            hot = hot or "the firmware throttles"
        elif any(_number(path, 10) > 0 for path in self._coolers):
            hot = hot or "the kernel caps the clock"
        self._was_hot = bool(hot)
        return Heat(warmest, hot)


def read_temperatures(folder: Path = THERMAL) -> dict[str, float]:
    """Degrees Celsius by thermal zone; empty where the system has none.

    A zone that cannot be read at the moment is left out.
    """
    found: dict[str, float] = {}
    for zone in sorted(folder.glob("thermal_zone*")):
        name, degrees = _text(zone / "type"), _degrees(zone)
        if not name or degrees is None:
            continue
        if name in found:  # boards with several sensors of one kind
            name = f"{name} {zone.name.removeprefix('thermal_zone')}"
        found[name] = round(degrees, 1)
    return found


def _limit(zone: Path) -> float:
    """Where the kernel would begin to slow down, or `LIMIT_C`."""
    for kind in sorted(zone.glob("trip_point_*_type")):
        if _text(kind) == "passive":
            degrees = _number(kind.with_name(kind.name.replace("_type", "_temp")), 10) / 1000
            if _CREDIBLE_C[0] < degrees < _CREDIBLE_C[1]:
                return degrees
    return LIMIT_C


def _degrees(zone: Path) -> float | None:
    try:
        return int((zone / "temp").read_text(encoding="utf-8")) / 1000
    except (OSError, ValueError):
        return None


def _number(path: Path, base: int) -> int:
    """A number in a file; 0 where it cannot be read at the moment."""
    try:
        return int(path.read_text(encoding="utf-8").strip(), base)
    except (OSError, ValueError):
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
