"""Just enough of protobuf to see which files beside an ONNX model hold its weights."""

from __future__ import annotations

from collections.abc import Iterator

from edgenn.errors import ModelError

MAX_TENSORS = 1 << 16


def fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Number and content of each length-delimited field of one message; others are passed over.

    Raises:
        ModelError: Cut off or malformed.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            _, at = _varint(data, at)
            continue
        if kind == 2:
            length, at = _varint(data, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ModelError("the file is damaged: it is no protobuf message")
        if length > len(data) - at:
            raise ModelError("the file is cut off: copy it again")
        if kind == 2:
            yield key >> 3, data[at : at + length]
        at += length


def external_files(data: bytes) -> list[str]:
    """Paths of the files that hold initialisers of an ONNX model, as the model spells them.

    Raises:
        ModelError: Damaged, or with more tensors than any model has.
    """
    found: dict[str, None] = {}
    tensors = 0
    for number, graph in fields(memoryview(data)):
        if number != 7:  # ModelProto.graph
            continue
        for part, tensor in fields(graph):
            if part != 5:  # GraphProto.initializer
                continue
            tensors += 1
            if tensors > MAX_TENSORS:
                raise ModelError(f"the file has more than {MAX_TENSORS} weights; it is refused")
            for item, entry in fields(tensor):
                if item == 13:  # TensorProto.external_data
                    pair = {n: bytes(v[:4096]).decode("utf-8", "replace") for n, v in fields(entry)}
                    if pair.get(1) == "location":
                        found[pair.get(2, "")] = None
    return list(found)


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
