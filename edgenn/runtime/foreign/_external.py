"""Puts the weights of an ONNX model that lie in files beside it into the model itself.

The few fields that this takes are read from the wire format of protobuf, so that a device needs no
``onnx`` package: ModelProto.graph (7), GraphProto.initializer (5), and of TensorProto raw_data (9),
external_data (13) and data_location (14), as in onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edgenn.bundle.store import MAX_FILE
from edgenn.errors import ModelError

_GRAPH, _INITIALIZER = 7, 5
_RAW, _EXTERNAL, _LOCATION = 9, 13, 14
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}
_Field = tuple[int, int, bytes]


def is_external(data: bytes) -> bool:
    """Whether a model names a file for one of its weights.

    Raises:
        ModelError: The file is damaged.
    """
    return any(
        number == _EXTERNAL
        for graph in _inner(data, _GRAPH)
        for tensor in _inner(graph, _INITIALIZER)
        for number, _, _ in _fields(tensor)
    )


def merged(data: bytes, folder: Path) -> bytes:
    """The same model with all of its weights inside.

    Args:
        data: The model.
        folder: Where its files lie; no other file is read.

    Raises:
        ModelError: A file is missing, too short, too large, or outside of the folder.
    """
    left = [MAX_FILE]
    return b"".join(
        _packed(number, kind, _graph(value, folder, left) if number == _GRAPH else value)
        for number, kind, value in _fields(data)
    )


def _graph(data: bytes, folder: Path, left: list[int]) -> bytes:
    return b"".join(
        _packed(number, kind, _tensor(value, folder, left) if number == _INITIALIZER else value)
        for number, kind, value in _fields(data)
    )


def _tensor(data: bytes, folder: Path, left: list[int]) -> bytes:
    fields = list(_fields(data))
    entries = dict(_entry(value) for number, _, value in fields if number == _EXTERNAL)
    if not entries:
        return data
    raw = _read(entries, folder, left)
    kept = [field for field in fields if field[0] not in (_EXTERNAL, _LOCATION, _RAW)]
    return b"".join(_packed(*field) for field in [*kept, (_RAW, _BYTES, raw)])


def _read(entries: dict[str, str], folder: Path, left: list[int]) -> bytes:
    name = entries.get("location", "")
    path = (folder / name).resolve()
    if not name or not path.is_relative_to(folder.resolve()):
        raise ModelError(f"the model's weights lie outside of its folder, in {name!r}; refused")
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", "-1"))
        size = path.stat().st_size
        length = size - offset if length < 0 else length
        left[0] -= length
        if not 0 <= offset <= offset + length <= size or left[0] < 0:
            raise ModelError(f"{path} does not hold the weights that the model looks for in it")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(length)
    except ValueError as error:
        raise ModelError(f"the model says no place of its weights in {name}") from error
    except OSError as error:
        raise ModelError(f"cannot read {path}, which holds weights: {error.strerror}") from error


def _entry(data: bytes) -> tuple[str, str]:
    """A StringStringEntryProto: key (1) and value (2)."""
    parts = {number: value for number, _, value in _fields(data)}
    return parts.get(1, b"").decode(errors="replace"), parts.get(2, b"").decode(errors="replace")


def _inner(data: bytes, wanted: int) -> Iterator[bytes]:
    return (value for number, kind, value in _fields(data) if (number, kind) == (wanted, _BYTES))


def _fields(data: bytes) -> Iterator[_Field]:
    """Number, wire type and value of each field of a message; values of varints as they are."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        start = at
        if kind == _VARINT:
            _, at = _varint(data, at)
        elif kind == _BYTES:
            length, start = _varint(data, at)
            at = start + length
        elif kind in _FIXED:
            at += _FIXED[kind]
        else:
            raise ModelError("the model is damaged: a field of an unknown kind")
        if at > len(data) or number == 0:
            raise ModelError("the model is damaged: a field reaches beyond its end")
        yield number, kind, data[start:at]


def _packed(number: int, kind: int, value: bytes) -> bytes:
    tag = _as_varint(number << 3 | kind)
    return tag + (_as_varint(len(value)) if kind == _BYTES else b"") + value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelError("the model is damaged: a number without an end")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
