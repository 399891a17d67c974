"""Cameras, buses and ports of the device, and whether this user may open them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgenn.runtime import devices as listing
from edgenn.runtime.doctor.host import Host
from edgenn.runtime.doctor.modes import Mode, look


@dataclass(frozen=True, slots=True)
class Camera:
    """A node of V4L2.

    Attributes:
        path: In /dev.
        name: As the driver gives it.
        group: That owns the node.
        usable: Whether this user may open it.
        captures: False for scalers and codecs; None where the driver does not say.
        modes: What it delivers; empty where the driver does not list it.
    """

    path: str
    name: str
    group: str
    usable: bool
    captures: bool | None
    modes: tuple[Mode, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A bus, port or sensor.

    Attributes:
        kind: "i2c", "serial", "gpio" or "iio".
        address: As ``--sensor`` takes it; the path of a GPIO chip.
        name: As the driver gives it; may be empty.
        group: That owns the node; empty where there is none.
        usable: Whether this user may open it.
    """

    kind: Literal["i2c", "serial", "gpio", "iio"]
    address: str
    name: str
    group: str
    usable: bool


def cameras(root: Path, host: Host) -> tuple[Camera, ...]:
    """Cameras and their modes."""
    found = []
    for path, name in listing.cameras(root / "sys/class/video4linux"):
        node = root / path.lstrip("/")
        captures, modes = look(node)
        usable = host.may_use(node)
        found.append(Camera(path, name, host.group_of(node), usable, captures, modes))
    return tuple(found)


def devices(root: Path, host: Host) -> tuple[Device, ...]:
    """I2C, serial ports, GPIO chips and sensors of the kernel."""
    dev = root / "dev"
    found = []
    for bus, name in listing.i2c_buses(dev, root / "sys/class/i2c-dev"):
        node = dev / f"i2c-{bus}"
        found.append(
            Device("i2c", f"i2c://{bus}/CHIP", name, host.group_of(node), host.may_use(node))
        )
    for path, name in listing.serial_ports(dev):
        node = Path(path)
        shown = f"serial:/{node.relative_to(root)}"
        found.append(Device("serial", shown, name, host.group_of(node), host.may_use(node)))
    for node in sorted(dev.glob("gpiochip*")):
        usable = host.may_use(node)
        found.append(Device("gpio", f"/dev/{node.name}", "", host.group_of(node), usable))
    for name, driver in listing.iio_devices(root / "sys/bus/iio/devices"):
        # Its values are files that everybody may read.
        found.append(Device("iio", f"iio:{name}", driver, "", usable=True))
    return tuple(found)
