"""Just enough of protobuf to see which files beside an ONNX model hold its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from edgenn.errors import ModelError

MAX_TENSORS = 1 << 16


def fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each length-delimited field of one message; others are passed over.

    Raises:
        ModelError: Cut off or malformed.
    """
    return ((number, content) for number, content, _ in _spans(data) if content is not None)


def _spans(data: memoryview) -> Iterator[tuple[int, memoryview | None, memoryview]]:
    """Number, content if it is length-delimited, and all bytes of each field."""
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        kind = key & 7
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind in (0, 2):
            value, at = _varint(data, at)
            length = value if kind == 2 else 0
        elif not length:
            raise ModelError("the file is damaged: it is no protobuf message")
        if length > len(data) - at:
            raise ModelError("the file is cut off: copy it again")
        end = at + length
        yield key >> 3, data[at:end] if kind == 2 else None, data[start:end]
        at = end


def external_files(data: bytes) -> list[str]:
    """Paths of the files that hold initialisers of an ONNX model, as the model spells them.

    Raises:
        ModelError: Damaged, or with more tensors than any model has.
    """
    graphs = [part for number, part in fields(memoryview(data)) if number == _GRAPH]
    tensors = [part for graph in graphs for number, part in fields(graph) if number == _WEIGHT]
    if len(tensors) > MAX_TENSORS:
        raise ModelError(f"the file has more than {MAX_TENSORS} weights; it is refused")
    places = [place for tensor in tensors if (place := _place(tensor))]
    return list(dict.fromkeys(place.get("location", "") for place in places))


def with_weights(data: bytes, read: Callable[[str, int, int], bytes]) -> bytes:
    """The model with its external weights inside.

    Args:
        data: The .onnx file.
        read: Bytes of a file by its location, offset and length; -1 is up to the end.

    Raises:
        ModelError: Damaged.
    """

    def tensor(message: memoryview) -> bytes:
        place = _place(message)
        if not place:
            return bytes(message)
        try:
            offset, length = int(place.get("offset", 0)), int(place.get("length", -1))
        except ValueError as error:
            raise ModelError("the file is damaged: its weights have no place") from error
        raw = read(place.get("location", ""), offset, length)
        # Without external_data and data_location, but with raw_data.
        return _edited(message, {13: None, 14: None}) + _packed(9, raw)

    def graph(message: memoryview) -> bytes:
        return _edited(message, {_WEIGHT: tensor})

    return _edited(memoryview(data), {_GRAPH: graph})


_GRAPH, _WEIGHT = 7, 5  # ModelProto.graph, GraphProto.initializer
Edit = Callable[[memoryview], bytes]


def _place(tensor: memoryview) -> dict[str, str]:
    """TensorProto.external_data."""
    pairs = [dict(fields(entry)) for number, entry in fields(tensor) if number == 13]
    return {_text(pair.get(1)): _text(pair.get(2)) for pair in pairs}


def _text(data: memoryview | None) -> str:
    return bytes(data[:4096]).decode("utf-8", "replace") if data is not None else ""


def _edited(data: memoryview, edits: Mapping[int, Edit | None]) -> bytes:
    parts: list[bytes | memoryview] = []
    for number, content, whole in _spans(data):
        edit = edits.get(number)
        if edit is not None and content is not None:
            parts.append(_packed(number, edit(content)))
        elif number not in edits:
            parts.append(whole)
    return b"".join(parts)


def _packed(number: int, content: bytes) -> bytes:
    head, length = bytearray([number << 3 | 2]), len(content)
    while length > 127:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    return bytes(head) + content


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ModelError("the file is damaged: it is no protobuf message")
