"""The largest serial of each model that ran on this device, so that no older one runs again."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from edgenn.bundle.store import write_text
from edgenn.errors import BundleError, TrustError

_log = logging.getLogger(__name__)


def floor(file: Path, name: str) -> int:
    """The largest serial of a model that ran; 0 for none."""
    return _read(file).get(name, 0)


def remember(file: Path, name: str, serial: int) -> None:
    """A release runs: nothing older of that name will do from now on.

    Raises:
        TrustError: The file cannot be written.
    """
    known = _read(file)
    if known.get(name, 0) >= serial:
        return
    try:
        write_text(file, json.dumps({**known, name: serial}))
    except BundleError as error:
        raise TrustError(f"cannot remember which serial runs: {error}") from error


def _read(file: Path) -> dict[str, int]:
    try:
        known = json.loads(file.read_text("utf-8"))
        return {str(name): int(serial) for name, serial in known.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        # To refuse all bundles would end a device for a damaged block of its disk.
        _log.warning("%s cannot be read (%s): older releases are not recognised", file, error)
        return {}
