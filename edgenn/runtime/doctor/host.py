"""The machine and its user, as far as no file under / tells it."""

from __future__ import annotations

import getpass
import grp
import os
import platform
import shutil
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import edgenn


@dataclass(frozen=True)
class Host:
    """What the process knows of itself; tests put another one in its place.

    Attributes:
        machine: As ``uname -m``, the kernel's.
        kernel: Its release.
        bits: Of this Python, 32 or 64.
        python: Its version.
        venv: Folder of its virtual environment; empty without one.
        user: Name of the user.
        groups: Names of the groups that this process has.
        is_root: Whether it may open everything.
        now: Time of the clock in seconds since 1970.
        installed: When edgenn was, in the same unit.
        state: Where `edgenn run` keeps what is not sent yet.
    """

    machine: str
    kernel: str
    bits: int
    python: str
    venv: str
    user: str
    groups: tuple[str, ...]
    is_root: bool
    now: float
    installed: float
    state: Path

    def may_use(self, path: Path) -> bool:
        """Whether it may be read and written."""
        return os.access(path, os.R_OK | os.W_OK)

    def sees(self, path: Path) -> bool:
        """Whether it is there, as far as this user may know."""
        return os.access(path, os.F_OK)

    def group_of(self, path: Path) -> str:
        """The group that owns it; empty if it is gone."""
        try:
            return _group(path.stat().st_gid)
        except OSError:
            return ""

    def free_mb(self, path: Path) -> int:
        """MiB that are free where it is."""
        return shutil.disk_usage(path).free >> 20


def this_host() -> Host:
    """The machine that this runs on."""
    return Host(
        machine=platform.machine(),
        kernel=platform.release(),
        bits=8 * struct.calcsize("P"),
        python=platform.python_version(),
        venv=sys.prefix if sys.prefix != sys.base_prefix else "",
        user=_user(),
        groups=tuple(sorted({_group(gid) for gid in {*os.getgroups(), os.getegid()}})),
        is_root=os.geteuid() == 0,
        now=time.time(),
        installed=Path(edgenn.__file__).stat().st_mtime,
        state=_state(),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return str(os.geteuid())


def _state() -> Path:
    base = os.environ.get("XDG_STATE_HOME")
    if base:
        return Path(base) / "edgenn"
    try:
        return Path.home() / ".local" / "state" / "edgenn"
    except RuntimeError:  # a user without a home
        return Path("/.local/state/edgenn")


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
