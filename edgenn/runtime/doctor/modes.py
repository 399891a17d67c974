"""What a camera delivers, as V4L2 lists it: the ioctls of linux/videodev2.h, without a library."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Ioctl = Callable[[int, int, bytearray], object]

_QUERYCAP, _ENUM_FMT = 0x80685600, 0xC0405602
_ENUM_SIZES, _ENUM_INTERVALS = 0xC02C564A, 0xC034564B
_CAPABILITY, _FORMAT, _SIZE, _INTERVAL = 104, 64, 44, 52
_CAPTURE, _CAPTURE_MPLANE, _DEVICE_CAPS = 0x1, 0x1000, 0x80000000
_DISCRETE = 1
# A driver that never says "no more" must not hold us up.
_MOST = 64


@dataclass(frozen=True, slots=True)
class Mode:
    """A format and size.

    Attributes:
        format: Four letters, as ``--camera '0?format=YUYV'`` takes them.
        width: In pixels; of a camera that scales freely, the largest.
        height: In pixels.
        fps: Rates, the highest first; empty where the driver does not list them.
    """

    format: str
    width: int
    height: int
    fps: tuple[float, ...]


def look(node: Path, ioctl: Ioctl = fcntl.ioctl) -> tuple[bool | None, tuple[Mode, ...]]:
    """Whether it captures, None if it does not say, and its modes; opening changes nothing."""
    try:
        fd = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None, ()
    try:
        buffer = bytearray(_CAPABILITY)
        ioctl(fd, _QUERYCAP, buffer)
        whole, own = struct.unpack_from("<II", buffer, 84)
        caps = own if whole & _DEVICE_CAPS else whole
        kinds = [kind for bit, kind in ((_CAPTURE, 1), (_CAPTURE_MPLANE, 9)) if caps & bit]
        modes = [mode for kind in kinds for mode in _modes(fd, kind, ioctl)]
    except OSError:
        return None, ()
    finally:
        os.close(fd)
    return bool(kinds), tuple(modes)


def _modes(fd: int, kind: int, ioctl: Ioctl) -> Iterator[Mode]:
    """Of a kind of buffer: 1, or 9 with several planes."""
    for entry in _listed(fd, _ENUM_FMT, _FORMAT, struct.pack("<II", 0, kind), ioctl):
        code = bytes(entry[44:48])
        letters = code.decode("ascii", "replace").strip()
        for size in _listed(fd, _ENUM_SIZES, _SIZE, b"\0" * 4 + code, ioctl):
            how, *sides = struct.unpack_from("<7I", size, 8)
            # Otherwise least, greatest and step of the width, then of the height.
            width, height = sides[:2] if how == _DISCRETE else (sides[1], sides[4])
            wanted = b"\0" * 4 + code + struct.pack("<II", width, height)
            rates = set()
            for interval in _listed(fd, _ENUM_INTERVALS, _INTERVAL, wanted, ioctl):
                _, over, under = struct.unpack_from("<3I", interval, 16)
                if over:
                    rates.add(round(under / over, 2))
            yield Mode(letters, width, height, tuple(sorted(rates, reverse=True)))


def _listed(fd: int, request: int, length: int, head: bytes, ioctl: Ioctl) -> Iterator[bytearray]:
    """What the driver has under index 0, 1 and so on, the first field of each of these structs."""
    for index in range(_MOST):
        buffer = bytearray(struct.pack("<I", index) + head[4:]).ljust(length, b"\0")
        try:
            ioctl(fd, request, buffer)
        except OSError:
            return
        yield buffer
