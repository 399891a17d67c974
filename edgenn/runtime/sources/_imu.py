"""Registers of inertial sensors, from their data sheets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

Writes = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Chip:
    """One family of chips with the same registers.

    Attributes:
        who: Register that holds the identity.
        ids: Identities and the chips that have them.
        addresses: Where it may be on the bus, the usual one first.
        first: First of the registers with readings.
        layout: struct format of all of them.
        order: Name of each value of the layout; "" is left out.
        accel: Least significant bit in g, by range in g.
        gyro: Least significant bit in deg/s, by range in deg/s.
        temp: Factor and offset to degrees Celsius.
        setup: Registers to write, in order, for rate, range in g and range in deg/s.
    """

    who: int
    ids: dict[int, str]
    addresses: tuple[int, ...]
    first: int
    layout: str
    order: tuple[str, ...]
    accel: dict[int, float]
    gyro: dict[int, float]
    temp: tuple[float, float]
    setup: Callable[[float, int, int], Writes]


def _mpu6050(rate: float, accel: int, gyro: int) -> Writes:
    divider = max(0, min(255, round(1000 / rate) - 1))
    # The low pass filter that lies under half of the rate: 260 Hz down to 5 Hz.
    band = next((i for i, hz in enumerate((260, 184, 94, 44, 21, 10)) if hz <= rate / 2), 6)
    return [
        (0x6B, 0x01),  # awake, clocked by a gyroscope
        (0x19, divider),
        (0x1A, max(1, band)),
        (0x1B, (250, 500, 1000, 2000).index(gyro) << 3),
        (0x1C, (2, 4, 8, 16).index(accel) << 3),
    ]


def _lsm6ds(rate: float, accel: int, gyro: int) -> Writes:
    rates = (12.5, 26, 52, 104, 208, 416, 833, 1660)
    # Nine tenths: a sensor that is a little slower repeats few readings.
    code = next((i for i, hz in enumerate(rates, 1) if hz >= 0.9 * rate), len(rates))
    return [
        (0x12, 0x44),  # both bytes of a value belong together; addresses count up
        (0x10, code << 4 | (2, 16, 4, 8).index(accel) << 2),
        (0x11, code << 4 | (250, 500, 1000, 2000).index(gyro) << 2),
    ]


CHIPS = {
    "mpu6050": Chip(
        who=0x75,
        ids={0x68: "MPU-6050"},
        addresses=(0x68, 0x69),
        first=0x3B,
        layout=">7h",
        order=("ax", "ay", "az", "temp", "wx", "wy", "wz"),
        accel={2: 1 / 16384, 4: 1 / 8192, 8: 1 / 4096, 16: 1 / 2048},
        gyro={250: 1 / 131, 500: 1 / 65.5, 1000: 1 / 32.8, 2000: 1 / 16.4},
        temp=(1 / 340, 36.53),
        setup=_mpu6050,
    ),
    "lsm6ds3": Chip(
        who=0x0F,
        ids={0x69: "LSM6DS3", 0x6A: "LSM6DS3TR-C"},
        addresses=(0x6A, 0x6B),
        first=0x20,
        layout="<7h",
        order=("temp", "wx", "wy", "wz", "ax", "ay", "az"),
        accel={2: 61e-6, 4: 122e-6, 8: 244e-6, 16: 488e-6},
        gyro={250: 8.75e-3, 500: 17.5e-3, 1000: 35e-3, 2000: 70e-3},
        temp=(1 / 16, 25.0),
        setup=_lsm6ds,
    ),
}
CHIPS["lsm6dsox"] = replace(CHIPS["lsm6ds3"], ids={0x6C: "LSM6DSOX"}, temp=(1 / 256, 25.0))
