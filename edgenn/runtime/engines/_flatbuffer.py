"""A bounded reader of what a TFLite file says of itself.

Offsets in the file are a stranger's: each is checked against the file before it is followed.
Schemas: ``schema.fbs`` of TensorFlow Lite and ``metadata_schema.fbs`` of TFLite Support.
"""

from __future__ import annotations

import struct
from typing import TypeVar

from edgenn.errors import ModelError

T = TypeVar("T")
MAX_ITEMS = 4096
# Fields of SubGraphMetadata; ProcessUnitOptions; AssociatedFileType for axes and for values.
_INPUTS, _OUTPUTS = 2, 3
_NORMALIZATION = 1
_LABELS = (2, 3)
_FULLY_CONNECTED = 9  # of BuiltinOperator


class Table:
    """One table of a flatbuffer."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at
        self._vtable = at - self._read("<i", at)
        self._size = self._read("<H", self._vtable)

    @classmethod
    def root(cls, data: bytes) -> Table:
        """The table that a buffer begins with."""
        return cls(data, int(_read(data, "<I", 0)))

    def number(self, field: int, form: str = "<I") -> int:
        """A scalar, 0 where it is left out."""
        at = self._field(field)
        return int(self._read(form, at)) if at else 0

    def table(self, field: int) -> Table | None:
        """A table, None where it is left out."""
        at = self._field(field)
        return Table(self._data, at + self._read("<I", at)) if at else None

    def tables(self, field: int) -> list[Table]:
        """A vector of tables."""
        start, count = self._vector(field)
        if count > MAX_ITEMS:
            raise ModelError(f"the file lists {count} items in its metadata; it is refused")
        places = range(start, start + 4 * count, 4)
        return [Table(self._data, at + self._read("<I", at)) for at in places]

    def raw(self, field: int, width: int = 1) -> bytes:
        """A string, or a vector of scalars of ``width`` bytes."""
        start, count = self._vector(field)
        if start + count * width > len(self._data):
            raise ModelError("the file is damaged: an offset in it leaves the file")
        return self._data[start : start + count * width]

    def floats(self, field: int) -> tuple[float, ...]:
        """A vector of float32."""
        data = self.raw(field, 4)[: 4 * 16]
        return struct.unpack(f"<{len(data) // 4}f", data)

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._field(field)
        if not at:
            return 0, 0
        start = at + self._read("<I", at)
        return start + 4, self._read("<I", start)

    def _field(self, field: int) -> int:
        slot = 4 + 2 * field
        if slot + 2 > self._size:
            return 0
        offset = self._read("<H", self._vtable + slot)
        return self._at + offset if offset else 0

    def _read(self, form: str, at: int) -> int:
        return int(_read(self._data, form, at))


def tensor_scaling(data: bytes) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std of the first input, in 0..255, as TFLite Metadata says; None where it does not.

    Raises:
        ModelError: An offset leaves the file.
    """
    for tensor in _described(data, _INPUTS)[:1]:
        for unit in tensor.tables(4):
            options = unit.table(1)
            if unit.number(0, "<B") == _NORMALIZATION and options is not None:
                return options.floats(0), options.floats(1)
    return None


def label_files(data: bytes) -> tuple[str, ...]:
    """Names of the packed files that TFLite Metadata says to have the classes of an output.

    Raises:
        ModelError: An offset leaves the file.
    """
    return tuple(
        file.raw(0).decode("utf-8", "replace")
        for tensor in _described(data, _OUTPUTS)
        for file in tensor.tables(6)
        if file.number(2, "<b") in _LABELS
    )


def has_dense_channels(data: bytes) -> bool:
    """Whether a fully connected layer has weights with a scale for each channel.

    Raises:
        ModelError: An offset leaves the file.
    """
    model = Table.root(data)
    codes = [max(c.number(3, "<i"), c.number(0, "<b")) for c in model.tables(1)]
    for graph in model.tables(2):
        tensors = graph.tables(0)
        for layer in graph.tables(3):
            if _at(codes, layer.number(0)) != _FULLY_CONNECTED:
                continue
            steps = _at(tensors, int(_read(layer.raw(1, 4), "<I", 4))).table(4)
            if steps is not None and len(steps.raw(2, 4)) > 4:
                return True
    return False


def _described(data: bytes, side: int) -> list[Table]:
    """What TFLite Metadata say of each input or output of the first graph; may be nothing."""
    model = Table.root(data)
    buffers = model.tables(4)
    for entry in model.tables(6):
        if entry.raw(0) != b"TFLITE_METADATA":
            continue
        index = entry.number(1)
        if index >= len(buffers):
            raise ModelError("the file is damaged: its metadata is missing")
        graphs = Table.root(buffers[index].raw(0)).tables(3)
        return graphs[0].tables(side) if graphs else []
    return []


def _at(items: list[T], index: int) -> T:
    if index >= len(items):
        raise ModelError("the file is damaged: it names what is not there")
    return items[index]


def _read(data: bytes, form: str, at: int) -> int | float:
    if at < 0 or at + struct.calcsize(form) > len(data):
        raise ModelError("the file is damaged: an offset in it leaves the file")
    value: int = struct.unpack_from(form, data, at)[0]
    return value
