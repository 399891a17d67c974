"""Whether a JPEG file is whole: a decoder fills what was lost with grey, and says nothing."""

from __future__ import annotations

import re

# In a JPEG scan 0xff is data when 0 follows, and part of the scan when a restart mark follows.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def is_cut(raw: bytes) -> bool:
    """Whether the segments of a JPEG file do not reach its end marker; False for other files.

    Walking them passes over thumbnails, which have end markers of their own.
    """
    if raw[:2] != b"\xff\xd8":
        return False
    found = _MARKER.search(raw, 2)
    while found is not None and found.group() != b"\xff\xd9":
        length = int.from_bytes(raw[found.end() : found.end() + 2], "big")
        found = _MARKER.search(raw, found.end() + length)
    return found is None
