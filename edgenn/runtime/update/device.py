"""Which device this is, and where it keeps what it has to remember."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from pathlib import Path

from edgenn.errors import UsageError

SERIALS = "serials.json"  # in the state folder; see edgenn.runtime.update.serials
_MACHINE_ID = Path("/etc/machine-id")
# The id of a machine must not be shown to others as it is: machine-id(5).
_APPLICATION = b"edgenn device id 1"
_GOOD = re.compile(r"[A-Za-z0-9._:-]{1,64}")


def device_id(given: str | None = None, machine: Path = _MACHINE_ID) -> str:
    """The id of this device: as given, or 16 hex digits that follow from its machine id.

    Raises:
        UsageError: The given one will not do, or the machine has none.
    """
    if given is not None:
        if not _GOOD.fullmatch(given):
            raise UsageError("--device-id takes 1 to 64 letters, digits or any of . _ : -")
        return given
    try:
        text = machine.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    if not re.fullmatch(r"[0-9a-f]{32}", text):
        raise UsageError(f"this device has no id in {machine}; name it with --device-id")
    return hmac.new(_APPLICATION, text.encode(), hashlib.sha256).hexdigest()[:16]


def percentile(device: str, serial: int) -> float:
    """Where a device stands in the order in which it gets a release, 0 to below 100.

    The order is another one for each serial, so that not the same devices are always first.
    """
    digest = hashlib.sha256(f"{device}\n{serial}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 10_000 / 100


def state_folder() -> Path:
    """``edgenn`` in the XDG state folder.

    Raises:
        UsageError: This user has no home folder.
    """
    base = os.environ.get("XDG_STATE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".local" / "state") / "edgenn"
    except RuntimeError as error:
        raise UsageError(
            "this user has no home folder to keep a state in; set XDG_STATE_HOME"
        ) from error
