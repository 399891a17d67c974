"""Cameras, sensors and buses of this device, as Linux lists them in files: no library is needed."""

from __future__ import annotations

from pathlib import Path

# Names of serial ports, by what drives them; Linux' consoles are left out.
PORTS = ("ttyUSB*", "ttyACM*", "ttyAMA*", "rfcomm*")


def cameras(folder: Path = Path("/sys/class/video4linux")) -> list[tuple[str, str]]:
    """Cameras of this device as V4L2 knows them: path in /dev, and name.

    A camera may have further nodes, for metadata, which give no pictures: only its
    first one is listed. Empty where there is no V4L2.
    """
    nodes = sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name))
    return [
        (f"/dev/{node.name}", read(node / "name") or "without a name")
        for node in nodes
        if read(node / "index") in ("0", "")
    ]


def serial_ports(dev: Path = Path("/dev")) -> list[tuple[str, str]]:
    """Ports and what they are: paths that stay the same, first where there are such."""
    named = {path.resolve(): path for path in sorted((dev / "serial" / "by-id").glob("*"))}
    nodes = [path for pattern in PORTS for path in sorted(dev.glob(pattern))]
    found = [(str(path), node.name) for node, path in named.items()]
    return found + [(str(path), "") for path in nodes if path.resolve() not in named]


def i2c_buses(
    dev: Path = Path("/dev"), sysfs: Path = Path("/sys/class/i2c-dev")
) -> list[tuple[str, str]]:
    """Numbers of the buses, and the names of their adapters."""
    nodes = sorted(dev.glob("i2c-*"), key=lambda path: (len(path.name), path.name))
    return [(node.name[4:], read(sysfs / node.name / "name")) for node in nodes]


def iio_devices(sysfs: Path = Path("/sys/bus/iio/devices")) -> list[tuple[str, str]]:
    """Names in sysfs, as device0, and the names that the drivers give."""
    nodes = sorted(sysfs.glob("iio:device*"), key=lambda path: (len(path.name), path.name))
    return [(node.name.partition(":")[2], read(node / "name")) for node in nodes]


def read(path: Path) -> str:
    """The text of a file in sysfs; empty where it is missing or cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
