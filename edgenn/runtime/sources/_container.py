"""How many bytes a video file lacks, by what its own container says.

OpenCV answers the end of a file and the place where it was cut off in the same
way. The outermost layer of the common containers tells them apart: it is a row
of chunks, each with its size, and the last one must not reach past the end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide")


def missing_bytes(path: Path) -> int:
    """Bytes between the end of the file and where its last chunk should end.

    Returns:
        0 for a whole file, and for one that is not AVI, MP4, MOV, Matroska or
        WebM. Chunks that would follow the one that is cut are not counted.

    Raises:
        OSError: The file cannot be read.
    """
    length = path.stat().st_size
    with path.open("rb") as file:
        chunk = _reader(file.read(8))
        if chunk is None:
            return 0
        position = 0
        while position < length:
            file.seek(position)
            size = chunk(file)
            if size <= 0:  # it says that it reaches to the end, wherever that is
                return 0
            position += size
    # Chunks of AVI are padded to even lengths, which not every writer heeds at the end.
    return position - length if position > length + 1 else 0


def _reader(head: bytes) -> Callable[[BinaryIO], int] | None:
    if head[:4] == b"RIFF":
        return _riff
    if head[4:] in _ISO_BOXES:
        return _iso
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _ebml
    return None


def _riff(file: BinaryIO) -> int:
    """RIFF: four letters, then the size of what follows, little-endian."""
    size = int.from_bytes(file.read(8)[4:], "little")
    return 8 + size + size % 2 if size else 0


def _iso(file: BinaryIO) -> int:
    """ISO 14496-12: the size of the whole box, four letters; 1 means a 64-bit size after them."""
    head = file.read(16)
    size = int.from_bytes(head[:4], "big")
    return int.from_bytes(head[8:], "big") if size == 1 else size


def _ebml(file: BinaryIO) -> int:
    """EBML, RFC 8794: identifier and size, the length of each in its leading zero bits."""
    head = file.read(12)
    if not head or not head[0]:
        return 0
    start = 9 - head[0].bit_length()
    first = head[start] if start < len(head) else 0
    if not first:
        return 0
    width = 9 - first.bit_length()
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[start : start + width], "big") & mask
    return 0 if size == mask else start + width + size
