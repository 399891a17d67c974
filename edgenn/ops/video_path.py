"""Names of video files as OpenCV may have them."""

from __future__ import annotations

import os
from pathlib import Path

from edgenn.errors import UsageError


def video_path(path: str | os.PathLike[str]) -> str:
    """The absolute path: of a relative one OpenCV takes what is before a colon for a protocol.

    Raises:
        UsageError: The name is no UTF-8, which ends the whole process inside OpenCV.
    """
    full = str(Path(path).absolute())
    try:
        full.encode()
    except UnicodeEncodeError as error:
        shown = os.fsencode(full).decode(errors="backslashreplace")
        why = "OpenCV opens no video whose path is not UTF-8; rename it"
        raise UsageError(f"{shown}: {why}") from error
    return full
