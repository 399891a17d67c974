"""The shipped units, installed as deploy/INSTALL.md says, and what systemd tells of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from _guest import TINY

DEPLOY = Path(os.environ["CHECKOUT"]) / "deploy"
STATE = Path("/var/lib/edgenn")


def command(*args: str, code: int | None = 0) -> str:
    """Standard output of a program; raises where its exit code is another."""
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=240)
    if code is not None and done.returncode != code:
        raise AssertionError(f"{' '.join(args)}: {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def install() -> None:
    """User, groups, rules of udev and units."""
    command("cp", f"{DEPLOY}/sysusers.d/edgenn.conf", "/usr/lib/sysusers.d/")
    command("systemd-sysusers")
    command("cp", f"{DEPLOY}/udev/99-edgenn.rules", "/etc/udev/rules.d/")
    command("udevadm", "control", "--reload")
    command("udevadm", "trigger")
    command("udevadm", "settle")
    for unit in ("edgenn.service", "edgenn@.service"):
        command("cp", f"{DEPLOY}/{unit}", "/etc/systemd/system/")
    command("systemctl", "daemon-reload")


def arguments(name: str, model: str, rest: str) -> None:
    """The arguments of edgenn@NAME; MODEL is built in or one of the tests'."""
    if (TINY / f"{model}.edgenn").exists():
        model = f"/opt/edgenn/src/tests/assets/{model}.edgenn"
    Path("/etc/edgenn").mkdir(exist_ok=True)
    Path(f"/etc/edgenn/{name}.env").write_text(
        f'EDGENN_ARGS="{model} {rest}"\nOMP_NUM_THREADS=1\n', encoding="utf-8"
    )


def ask(name: str, what: str) -> str:
    """A property of edgenn@NAME."""
    return command("systemctl", "show", f"edgenn@{name}", "-P", what).strip()


def journal(name: str) -> str:
    """What edgenn@NAME and systemd said of it since this boot."""
    return command("journalctl", "-b", "-o", "cat", "--no-pager", "-u", f"edgenn@{name}")
