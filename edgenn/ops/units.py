"""Does a sensor speak the unit that a model was trained on?

Accelerations come in g or in m/s², turn rates in degrees or in radians a
second, and nothing in the numbers says which. Two facts tell them apart:

- A sensor that is not much shaken measures gravity: 1 g, or 9.81 m/s².
- Turn rates 57.3 times as high as all that training had are not another
  movement, but another unit. Low ones are doubted only while the accelerometer
  beside them moves as in training: a still gyroscope says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats

_GRAVITY = 9.81
_DEGREES = 57.3
_NAMES = {
    "g": "g",
    "m/s2": "m/s2",
    "m/s/s": "m/s2",
    "ms-2": "m/s2",
    "deg/s": "deg/s",
    "°/s": "deg/s",
    "dps": "deg/s",
    "rad/s": "rad/s",
}
_OTHER = {"g": "m/s2", "m/s2": "g", "deg/s": "rad/s", "rad/s": "deg/s"}
_AT_REST = {"g": 1.0, "m/s2": _GRAVITY}
# How near gravity the middle half of all readings lies where a sensor is not much shaken.
_NEAR = (0.75, 1.3)
# Spread of normally distributed readings by their percentiles 0.1 and 99.9.
_SPREAD = 1 / 6.18
# Movements differ from training by less than this, units by more.
_MOST = 10.0
# Share of the spread in training above which a sensor moves.
_MOVES = 0.5


def mismatch(values: Floats, units: Sequence[str], ranges: Sequence[tuple[float, float]]) -> str:
    """What is wrong with the units of some seconds of readings.

    Args:
        values: (T, C) readings, some seconds of them.
        units: (C,) units that the model was trained on.
        ranges: (C,) low and high in training, percentiles 0.1 and 99.9; may be empty.

    Returns:
        A sentence, or nothing where nothing speaks against the units.
    """
    known = [_NAMES.get(u.lower().replace("²", "2").replace("^", "").strip(), "") for u in units]
    if len(known) != values.shape[1] or len(values) < 2:
        return ""
    readings = values.astype(np.float64)
    for unit in ("g", "m/s2"):
        columns = [i for i, name in enumerate(known) if name == unit]
        peaks = [max(map(abs, ranges[i])) for i in columns if len(ranges) == len(known)]
        # Linear accelerations, which have no gravity in them, tell nothing when small.
        without = bool(peaks) and np.linalg.norm(peaks) < _NEAR[0] * _AT_REST[unit]
        if len(columns) % 3 or without:
            continue
        if _gravity_is_other(readings[:, columns], unit):
            return _sentence("accelerometer", unit)
    return _turns(readings, known, np.array(ranges)) if len(ranges) == len(known) else ""


def _gravity_is_other(readings: NDArray[np.float64], unit: str) -> bool:
    """Whether each sensor of three axes is steadily near gravity in the other unit."""
    other = _AT_REST[_OTHER[unit]]
    sensors = readings.reshape(len(readings), -1, 3)
    quarters = np.percentile(np.linalg.norm(sensors, axis=2), (25, 75), axis=0) / other
    near = (quarters > _NEAR[0]) & (quarters < _NEAR[1])
    return bool(sensors.shape[1] and near.all())


def _turns(readings: NDArray[np.float64], known: list[str], ranges: NDArray[np.float64]) -> str:
    accelerometer = [i for i, name in enumerate(known) if name in _AT_REST]
    moved = _share(readings, ranges, accelerometer)
    for unit in ("deg/s", "rad/s"):
        turned = _share(readings, ranges, [i for i, name in enumerate(known) if name == unit])
        if unit == "rad/s" and turned > _MOST:
            return _sentence("gyroscope", unit)
        # As much less turned than moved, give or take a factor of 4, as the units differ.
        looked = turned * _DEGREES / moved if moved > _MOVES else 0.0
        if unit == "deg/s" and 0.25 < looked < 4:
            return _sentence("gyroscope", unit)
    return ""


def _share(
    readings: NDArray[np.float64], ranges: NDArray[np.float64], columns: Sequence[int]
) -> float:
    """Spread of some channels as a share of that in training; 0 where they stood still then."""
    if not columns:
        return 0.0
    usual = np.linalg.norm((ranges[columns, 1] - ranges[columns, 0]) * _SPREAD)
    return float(np.linalg.norm(readings[:, columns].std(axis=0)) / usual) if usual > 1e-6 else 0.0


def _sentence(sensor: str, unit: str) -> str:
    other = _OTHER[unit]
    factor = _GRAVITY if "g" in (unit, other) else _DEGREES
    how = "divide" if unit in ("g", "rad/s") else "multiply"
    return (
        f"the {sensor} readings look like {other}, the model was trained on {unit}: "
        f"{how} them by {factor}"
    )
