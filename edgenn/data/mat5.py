"""Arrays of numbers in MATLAB files of level 5, which ``save`` writes up to ``-v7``.

After "MAT-File Format" by The MathWorks: a header of 128 bytes, then elements,
each a tag with type and size before its data, or zlib around that. Only real
arrays of numbers are read. scipy reads far more, but ends the whole process at
some damaged files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgenn.errors import DataError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# Number of a data type to numpy's name of it.
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
# Classes double to uint64; texts, cells, structs and sparse arrays come before.
_NUMBERS = range(6, 16)
_COMPLEX, _LOGICAL = 0x08, 0x02
# What a packed element may grow to.
_MOST_BYTES = 1 << 30


def read_arrays(path: Path) -> dict[str, NDArray[np.float64]]:
    """All real arrays of numbers of a file, by name, as float64.

    Raises:
        DataError: Not a MATLAB file of level 5, or a damaged one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    version, mark = data[124:126], data[126:_HEADER]
    if mark not in (b"IM", b"MI"):
        raise DataError("not a MATLAB file, or one older than MATLAB 5")
    order = "<" if mark == b"IM" else ">"
    if struct.unpack(f"{order}H", version)[0] != 0x0100:
        raise DataError("it is of MATLAB 7.3; save it with -v7 to have it read")
    try:
        return dict(_arrays(data[_HEADER:], order))
    except (ValueError, struct.error, zlib.error) as error:
        raise DataError(f"a damaged MATLAB file: {error}") from error


def _arrays(data: bytes, order: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    for kind, element in _elements(data, order):
        inner = _elements(_unpack(element), order) if kind == _COMPRESSED else [(kind, element)]
        for inner_kind, content in inner:
            array = _matrix(content, order) if inner_kind == _MATRIX else None
            if array is not None:
                yield array


def _unpack(data: bytes) -> bytes:
    stream = zlib.decompressobj()
    plain = stream.decompress(data, _MOST_BYTES)
    if not stream.eof:
        raise ValueError("a packed array breaks off, or is larger than 1 GiB")
    return plain


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and data of each element of a row."""
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        if kind >> 16:  # the short form: both in one word, the data in the other
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            following = at + 8
        else:
            start = at + 8
            following = start + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data) or (size > 4 and start == at + 4):
            raise ValueError("an element reaches past its end")
        yield kind, data[start : start + size]
        at = following


def _matrix(data: bytes, order: str) -> tuple[str, NDArray[np.float64]] | None:
    """Name and content; None for what is not a real array of numbers."""
    parts = _elements(data, order)
    _, flags = next(parts, (0, b""))
    (word,) = struct.unpack_from(f"{order}I", flags)
    if word & 0xFF not in _NUMBERS or (word >> 8) & (_COMPLEX | _LOGICAL):
        return None
    _, dimensions = next(parts, (0, b""))
    _, name = next(parts, (0, b""))
    kind, content = next(parts, (0, b""))
    if kind not in _TYPES:
        raise ValueError(f"numbers of the unknown type {kind}")
    shape = tuple(np.frombuffer(dimensions, f"{order}i4").tolist())
    values = np.frombuffer(content, np.dtype(order + _TYPES[kind]))
    if min(shape, default=-1) < 0:
        raise ValueError(f"an array of shape {shape}")
    return name.decode("latin-1"), values.astype(np.float64).reshape(shape, order="F")
