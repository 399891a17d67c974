"""What the target is: read only, before anything is touched."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import pwd
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

from edgenn.deploy.remote.service import Service
from edgenn.deploy.remote.talk import Line


def whereabouts(scope: str, name: str) -> Path:
    """Folder of a deployment: below the home, or in /opt for all of the system."""
    if scope == "system":
        return Path("/opt/edgenn") / name
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "edgenn" / name


def probe(line: Line, *, name: str, scope: str) -> dict[str, Any]:
    """Facts about this machine and about what was deployed before.

    Args:
        line: Runs the commands.
        name: Of the deployment.
        scope: "user", "system", or "auto": system for root only.
    """
    if scope == "auto":
        scope = "system" if os.geteuid() == 0 else "user"
    base = whereabouts(scope, name)
    service = Service(line, name, scope, base)
    current = base / "current"
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "bits": struct.calcsize("P") * 8,
        "python": platform.python_version(),
        # A link from elsewhere, in a venv, does not find its library.
        "executable": str(Path(sys.executable).resolve()),
        "venv": all(importlib.util.find_spec(module) for module in ("venv", "ensurepip")),
        "picamera2": importlib.util.find_spec("picamera2") is not None,
        "free_mb": shutil.disk_usage(_existing(base)).free >> 20,
        "user": pwd.getpwuid(os.geteuid()).pw_name,
        "scope": scope,
        "base": str(base),
        "writable": scope == "user" or _is_root(line),
        "rsync": shutil.which("rsync") is not None,
        "systemd": service.reachable(),
        "unit": service.path.exists(),
        "release": current.resolve().name if current.is_dir() else "",
        "fingerprint": _read(current / "release.json").get("fingerprint", ""),
        "active": service.path.exists() and service.state().get("ActiveState") == "active",
    }


def _is_root(line: Line) -> bool:
    """Whether this user is root, or may be without a password."""
    if os.geteuid() == 0:
        return True
    return shutil.which("sudo") is not None and line.run(["sudo", "-n", "true"]).returncode == 0


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or from a deployment that was cut off
        return {}
    return found if isinstance(found, dict) else {}
