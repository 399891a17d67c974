"""What is read from the device, as values; nothing here judges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenn.runtime.devices import read
from edgenn.runtime.doctor import board, ports
from edgenn.runtime.doctor.board import Cpu, Memory, Power, System
from edgenn.runtime.doctor.host import Host, this_host
from edgenn.runtime.doctor.ports import Camera, Device
from edgenn.runtime.doctor.software import Software, look


@dataclass(frozen=True, slots=True)
class User:
    """Who runs it.

    Attributes:
        name: Of the user.
        is_root: Whether it may open everything.
        groups: That this process has.
        listed: Groups that /etc/group lists the user in; new ones count from the next login.
    """

    name: str
    is_root: bool
    groups: tuple[str, ...]
    listed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Storage:
    """Where `edgenn run` keeps what is not sent yet: ``--mqtt-buffer`` unless it is given."""

    path: str
    writable: bool
    free_mb: int


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds since 1970: what the clock says, and when edgenn was installed."""

    now: float
    installed: float


@dataclass(frozen=True, slots=True)
class Service:
    """What starts it.

    Attributes:
        systemd: Whether systemd runs this system.
        unit: Whether it knows a unit of edgenn.
        memory_limits: Whether the kernel heeds ``MemoryMax`` of a unit, by cgroups of version 2.
    """

    systemd: bool
    unit: bool
    memory_limits: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it; the fields are those of the JSON form."""

    system: System
    cpu: Cpu
    memory: Memory
    power: Power
    storage: Storage
    clock: Clock
    user: User
    cameras: tuple[Camera, ...]
    devices: tuple[Device, ...]
    software: Software
    service: Service


def gather(
    root: Path = Path("/"), host: Host | None = None, software: Software | None = None
) -> Facts:
    """Read everything.

    Args:
        root: Where /proc, /sys, /dev, /etc and /run are.
        host: The machine and its user; None means this one.
        software: What is installed; None means what this Python can import.
    """
    host = host or this_host()
    return Facts(
        system=board.system(root, host),
        cpu=board.cpu(root),
        memory=board.memory(root),
        power=board.power(root),
        storage=_storage(host),
        clock=Clock(host.now, host.installed),
        user=User(host.user, host.is_root, host.groups, _listed(root, host.user)),
        cameras=ports.cameras(root, host),
        devices=ports.devices(root, host),
        software=software or look(root),
        service=_service(root),
    )


def _storage(host: Host) -> Storage:
    there = next(p for p in (host.state, *host.state.parents) if host.sees(p))
    return Storage(str(host.state), host.may_use(there), host.free_mb(there))


def _service(root: Path) -> Service:
    folders = ("etc/systemd/system", "usr/local/lib/systemd/system", "lib/systemd/system")
    units = (unit for f in folders for unit in (root / f).glob("edgenn*.service"))
    return Service(
        systemd=(root / "run/systemd/system").is_dir(),
        unit=next(units, None) is not None,
        memory_limits="memory" in read(root / "sys/fs/cgroup/cgroup.controllers").split(),
    )


def _listed(root: Path, user: str) -> tuple[str, ...]:
    lines = (line.split(":") for line in read(root / "etc/group").splitlines())
    return tuple(sorted(f[0] for f in lines if len(f) == 4 and user in f[3].split(",")))
