"""What is in the way on this device: small functions from facts to a problem or None.

A function's name, with hyphens, is the problem's; those of packages are in `package_checks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

from edgenn.runtime.doctor import package_checks
from edgenn.runtime.doctor.facts import Facts
from edgenn.runtime.doctor.problem import ORDER, Problem

Check = Callable[[Facts], Problem | None]

_PYTHON = (3, 10)
# edgenn is younger than this.
_EARLIEST = datetime(2025, 1, 1, tzinfo=timezone.utc).timestamp()
_DAY_S = 86400.0
_FREE_MB, _FEW_MB, _MEMORY_MB = 100, 500, 120


def problems(facts: Facts) -> tuple[Problem, ...]:
    """All that is wrong, the worst first."""
    found = []
    for check in (*CHECKS, *package_checks.CHECKS):
        problem = check(facts)
        if problem is not None:
            found.append(replace(problem, id=check.__name__.replace("_", "-")))
    return tuple(sorted(found, key=lambda problem: ORDER.index(problem.severity)))


def python_too_old(facts: Facts) -> Problem | None:
    """Ubuntu 20.04, and with it JetPack 5, has 3.8."""
    version = facts.system.python
    if tuple(map(int, version.split(".")[:2])) >= _PYTHON:
        return None
    return Problem(
        "error",
        f"Python {version} is too old; edgenn needs 3.10 or newer",
        "python3 -m pip install uv && python3 -m uv venv --python 3.10 env",
    )


def clock_wrong(facts: Facts) -> Problem | None:
    """Boards without a battery start in the past: TLS fails, and every time is wrong."""
    clock = facts.clock
    if clock.now >= max(_EARLIEST, clock.installed - _DAY_S):
        return None
    date = datetime.fromtimestamp(clock.now, timezone.utc)
    return Problem(
        "error",
        f"the clock says {date:%Y-%m-%d}, which is before edgenn was installed; TLS will fail",
        "sudo timedatectl set-ntp true",
    )


def undervoltage(facts: Facts) -> Problem | None:
    """A Pi with too little voltage is slow, and its USB cameras and SD card fail."""
    when = facts.power.undervoltage
    if when not in ("now", "since boot"):
        return None
    said = "is too low" if when == "now" else "has been too low since the start"
    return Problem(
        "error" if when == "now" else "warning",
        f"the Raspberry Pi says that its supply voltage {said}",
        "use the official power supply and a short cable, then: vcgencmd get_throttled",
    )


def throttled(facts: Facts) -> Problem | None:
    """Measurements now are those of a hot device."""
    if not facts.power.throttled:
        return None
    return Problem(
        "warning",
        f"the device is slowed down or about to be: {facts.power.throttled}",
        "give it a heat sink or fan; edgenn run --latency-budget 100 makes a run heed it",
    )


def disk_full(facts: Facts) -> Problem | None:
    """Logs, recordings and the buffer of MQTT need room."""
    free = facts.storage.free_mb
    if free >= _FEW_MB:
        return None
    return Problem(
        "error" if free < _FREE_MB else "warning",
        f"{facts.storage.path} has {free} MB left",
        "sudo apt clean && sudo journalctl --vacuum-size=50M",
    )


def state_not_writable(facts: Facts) -> Problem | None:
    """Without it --mqtt has nowhere to keep what is not sent yet."""
    storage = facts.storage
    if storage.writable:
        return None
    return Problem(
        "warning",
        f"user {facts.user.name} cannot write {storage.path}, where --mqtt keeps what is not sent",
        f"sudo install -d -o {facts.user.name} {storage.path}",
    )


def memory_low(facts: Facts) -> Problem | None:
    """A detector with its camera takes about so much."""
    if facts.memory.available_mb >= _MEMORY_MB or not facts.memory.total_mb:
        return None
    return Problem(
        "warning",
        f"{facts.memory.available_mb} MB of memory are available; a detector and a camera take "
        f"about {_MEMORY_MB}",
        "systemd-cgtop -m -n 1 names what takes most; stop it, or sudo systemctl set-default "
        "multi-user.target and reboot, to run without a desktop",
    )


def memory_unlimited(facts: Facts) -> Problem | None:
    """The firmware of a Pi starts Linux with cgroup_disable=memory."""
    service = facts.service
    if not (service.systemd and service.unit) or service.memory_limits:
        return None
    return Problem(
        "note",
        "the kernel does not heed MemoryMax of edgenn's unit",
        "sudo sed -i 's/$/ cgroup_enable=memory/' /boot/firmware/cmdline.txt && sudo reboot"
        if facts.system.kind == "pi"
        else "start Linux with cgroup_enable=memory",
    )


def bits_32(facts: Facts) -> Problem | None:
    """Few wheels, and no 64-bit kernels of the inference libraries."""
    system = facts.system
    if system.bits != 32:
        return None
    if system.machine in ("aarch64", "arm64"):
        return Problem(
            "warning",
            "Python has 32 bits on a 64-bit kernel; pip then looks for packages that cannot run",
            "install the 64-bit system, or: echo arm_64bit=0 | sudo tee -a "
            "/boot/firmware/config.txt && sudo reboot",
        )
    return Problem(
        "warning",
        f"this is a 32-bit system ({system.machine}): no ONNX Runtime, and slower inference",
        "where the board can (Pi 3, 4, 5, Zero 2), install the 64-bit system",
    )


def group_missing(facts: Facts) -> Problem | None:
    """Devices are there, and their group has not this user."""
    shut = [(name, group) for name, group in _shut(facts) if group not in ("", "root")]
    if not shut:
        return None
    user, groups = facts.user, sorted({group for _, group in shut})
    names = ", ".join(name for name, _ in shut)
    said = f"user {user.name} may not open {names}"
    if set(groups) <= set(user.listed):
        return Problem(
            "warning",
            f"{said} before the next login, as groups count from then on",
            f"sudo loginctl terminate-user {user.name}   # ends all sessions; log in again",
        )
    return Problem(
        "warning",
        f"{said}: not in group {', '.join(groups)}",
        f"sudo usermod -aG {','.join(groups)} {user.name}   # counts from the next login",
    )


def device_without_group(facts: Facts) -> Problem | None:
    """Debian beside Raspberry Pi OS has no rules for GPIO."""
    names = [name for name, group in _shut(facts) if group == "root"]
    if not names:
        return None
    return Problem(
        "warning",
        f"only root may open {', '.join(names)}",
        "sudo groupadd -f -r i2c && sudo groupadd -f -r gpio && "
        "sudo cp deploy/udev/99-edgenn.rules /etc/udev/rules.d/ && "
        "sudo udevadm control --reload && sudo udevadm trigger",
    )


def _shut(facts: Facts) -> list[tuple[str, str]]:
    """What this user may not open, and its group."""
    shut = [(c.path, c.group) for c in facts.cameras if not c.usable]
    return shut + [(d.address, d.group) for d in facts.devices if not d.usable]


CHECKS: tuple[Check, ...] = (
    python_too_old,
    clock_wrong,
    undervoltage,
    throttled,
    disk_full,
    state_not_writable,
    memory_low,
    memory_unlimited,
    bits_32,
    group_missing,
    device_without_group,
)
