"""The form of records in an industrial I/O buffer, as Linux describes it in scan_elements.

See https://docs.kernel.org/iio/iio_devbuf.html: ``le:s12/16>>4`` is a little-endian signed
value of 12 bits, stored in 16 and shifted left by 4.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgenn.errors import SourceError

_FORM = re.compile(r"([bl]e):([su])(\d+)/(8|16|32|64)(?:X(\d+))?>>(\d+)")


@dataclass(frozen=True, slots=True)
class Element:
    """One value of a record.

    Attributes:
        dtype: Of the storage.
        bits: Of the value.
        signed: Whether it is.
        shift: Bits to the right of it.
    """

    dtype: np.dtype[np.unsignedinteger]
    bits: int
    signed: bool
    shift: int

    def decode(self, stored: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
        """(n,) values from their storage."""
        left = np.uint64(64 - self.bits)
        value = stored.astype(np.uint64) >> np.uint64(self.shift) << left
        if self.signed:
            return value.view(np.int64) >> np.int64(left)
        return (value >> left).view(np.int64)


def parse(text: str, where: str) -> Element:
    """Take a description apart.

    Raises:
        SourceError: It is none, or of several values in one.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None or found[5] not in (None, "1"):
        raise SourceError(f"{where} has a form that is not known: {text!r}")
    bits, size, shift = int(found[3]), int(found[4]), int(found[6])
    if not 0 < bits <= size - shift:
        raise SourceError(f"{where} has a form that cannot be: {text!r}")
    order = "<" if found[1] == "le" else ">"
    return Element(np.dtype(f"{order}u{size // 8}"), bits, found[2] == "s", shift)


def record(elements: dict[str, Element]) -> np.dtype[np.void]:
    """The layout of a record: each value at a multiple of its size, in the order given."""
    offset, offsets = 0, []
    for element in elements.values():
        size = element.dtype.itemsize
        offset = -(-offset // size) * size
        offsets.append(offset)
        offset += size
    largest = max(element.dtype.itemsize for element in elements.values())
    return np.dtype(
        {
            "names": list(elements),
            "formats": [element.dtype for element in elements.values()],
            "offsets": offsets,
            "itemsize": -(-offset // largest) * largest,
        }
    )
