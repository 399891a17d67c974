"""An inertial sensor on an I2C bus: MPU-6050, LSM6DS3 or LSM6DSOX.

``i2c://1/mpu6050`` is one on bus 1. All settings are optional, as
``?address=0x69&rate=100&accel=m/s2&gyro=deg/s``:

- ``address``: on the bus; 0x68 for mpu6050, 0x6A for the others.
- ``rate``: readings per second; that of the model, or 100.
- ``accel``, ``gyro``: units, g or m/s2 and rad/s or deg/s; the first ones.
- ``accel_range``, ``gyro_range``: full scale, 2, 4, 8 or 16 g and 250, 500, 1000 or 2000
  deg/s; 8 and 1000.

Heeds ``channels`` (ax ay az wx wy wz temp, with gx or gyro_x for wx and so on) and
``rate``. Registers are those of the makers' data sheets; see
`edgenn.runtime.sources._imu`.
"""

from __future__ import annotations

import math
import re
import struct

from smbus2 import SMBus

from edgenn import plugins
from edgenn.errors import SourceError
from edgenn.runtime.devices import i2c_buses
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._imu import CHIPS, Chip
from edgenn.runtime.sources._polled import G, Polled, select
from edgenn.runtime.sources._settings import Settings

KIND: Kind = "window"
EXAMPLE = "--sensor 'i2c://1/mpu6050?rate=100'"

_DEFAULTS = {
    "address": "",
    "rate": "",
    "accel": "g",
    "gyro": "rad/s",
    "accel_range": "8",
    "gyro_range": "1000",
}


class I2c(Polled):
    """A sensor that answered with its right identity and was set up."""

    def __init__(self, name: str, options: Options) -> None:
        settings = Settings(name, "i2c", _DEFAULTS)
        bus, kind = _place(settings.rest)
        self._chip = CHIPS[kind]
        self._address = self._chip.addresses[0]
        if settings["address"]:
            self._address = int(settings.number("address", 0x03, 0x77))
        rate = settings.number("rate", 0.1, 2000) if settings["rate"] else options.rate or 100.0
        shown = f"i2c://{bus}/{kind}"
        chosen = select(options.channels, sorted(self._chip.order), shown)
        scales, ranges = _scales(self._chip, settings)
        self._picks = [(self._chip.order.index(channel), *scales[channel]) for channel in chosen]
        super().__init__(shown, rate, options.channels or tuple(chosen))
        self._bus = _open(bus)
        try:
            self._set_up(self._chip.setup(rate, *ranges))
        except (OSError, SourceError) as error:
            self.close()
            if isinstance(error, SourceError):
                raise
            raise SourceError(
                f"nothing answers at address 0x{self._address:02x} of I2C bus {bus}: "
                f"{error.strerror or error}; is it wired, or at another ?address="
            ) from error

    def _set_up(self, writes: list[tuple[int, int]]) -> None:
        found = self._bus.read_byte_data(self._address, self._chip.who)
        if found not in self._chip.ids:
            known = {i: name for chip in CHIPS.values() for i, name in chip.ids.items()}
            wanted = " or ".join(f"0x{i:02x} ({name})" for i, name in self._chip.ids.items())
            raise SourceError(
                f"{self.name}: the chip at 0x{self._address:02x} says that it is 0x{found:02x} "
                f"({known.get(found, 'unknown')}), not {wanted}"
            )
        for register, value in writes:
            self._bus.write_byte_data(self._address, register, value)

    def _read(self) -> list[float]:
        size = struct.calcsize(self._chip.layout)
        data = self._bus.read_i2c_block_data(self._address, self._chip.first, size)
        raw = struct.unpack(self._chip.layout, bytes(data))
        return [raw[i] * factor + offset for i, factor, offset in self._picks]

    def _release(self) -> None:
        self._bus.close()


def open_source(name: str, options: Options) -> I2c:
    """Find the chip, check its identity and set it up.

    Raises:
        SourceError: There is no such bus or chip, a setting is wrong, or a channel that is
            wanted is not there.
    """
    return I2c(name, options)


def _place(text: str) -> tuple[int, str]:
    found = re.fullmatch(r"//(\d{1,3})/(\w+)", text)
    if found is None:
        raise SourceError(
            f"there is no I2C sensor {text}; write i2c://BUS/CHIP, as i2c://1/mpu6050"
        )
    kind = found[2].lower()
    if kind not in CHIPS:
        raise SourceError(f"no I2C chip is called {kind!r}{plugins.suggestion(kind, list(CHIPS))}")
    return int(found[1]), kind


def _scales(
    chip: Chip, settings: Settings
) -> tuple[dict[str, tuple[float, float]], tuple[int, int]]:
    """Factor and offset of each channel, and the ranges that they hold for."""
    accel = int(settings.choice("accel_range", [str(r) for r in chip.accel]))
    gyro = int(settings.choice("gyro_range", [str(r) for r in chip.gyro]))
    g = chip.accel[accel] * (G if settings.choice("accel", ["g", "m/s2"]) == "m/s2" else 1.0)
    turn = chip.gyro[gyro]
    if settings.choice("gyro", ["rad/s", "deg/s"]) == "rad/s":
        turn = math.radians(turn)
    scales = {"temp": chip.temp}
    scales.update({f"a{axis}": (g, 0.0) for axis in "xyz"})
    scales.update({f"w{axis}": (turn, 0.0) for axis in "xyz"})
    return scales, (accel, gyro)


def _open(bus: int) -> SMBus:
    try:
        return SMBus(bus)
    except FileNotFoundError as error:
        there = ", ".join(number for number, _ in i2c_buses()) or "none"
        raise SourceError(
            f"there is no I2C bus {bus}; there is {there} (switched on in the board's settings?)"
        ) from error
    except OSError as error:
        raise SourceError(
            f"I2C bus {bus} cannot be opened: {error.strerror or error}; does this user lack the "
            "right (group 'i2c')?"
        ) from error
