"""Small TFLite files, and their metadata, written by hand."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

FLOAT, INT32 = schema.TensorType.FLOAT32, schema.TensorType.INT32


@dataclass
class Net:
    """A graph of one subgraph that grows by `tensor` and `op`; float32 but for int32 weights."""

    tensors: list = field(default_factory=list)
    buffers: list = field(default_factory=lambda: [schema.BufferT()])
    codes: list = field(default_factory=list)
    operators: list = field(default_factory=list)

    def tensor(self, name, shape, data=None, *, free=None, variable=False):
        """Add one; ``free`` is its shape with -1 where the file leaves it open."""
        made = schema.TensorT()
        made.name, made.shape, made.isVariable = name, list(shape), variable
        made.shapeSignature = free
        made.type = INT32 if data is not None and np.asarray(data).dtype == np.int32 else FLOAT
        made.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        self.tensors.append(made)
        return len(self.tensors) - 1

    def op(self, name, inputs, outputs, **options):
        """Add an operator by its name in the schema, with its options."""
        code = schema.OperatorCodeT()
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        self.codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes) - 1, inputs, outputs
        for kind, values in options.items():
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            for key, value in values.items():
                setattr(made.builtinOptions, key, value)
        self.operators.append(made)

    def save(self, path, inputs, outputs, *, metadata=b"", files=None):
        """Write it, with TFLite Metadata and files packed into it."""
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.operatorCodes = 3, [graph], self.codes
        if metadata:
            buffer, entry = schema.BufferT(), schema.MetadataT()
            buffer.data = np.frombuffer(metadata, np.uint8)
            entry.name, entry.buffer = "TFLITE_METADATA", len(self.buffers)
            self.buffers.append(buffer)
            model.metadata = [entry]
        model.buffers = self.buffers
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        data = io.BytesIO(bytes(builder.Output()))
        if files:
            with zipfile.ZipFile(data, "a") as archive:
                for name, text in files.items():
                    archive.writestr(name, text)
        path.write_bytes(data.getvalue())
        return path


def metadata(mean, std, label_file):
    """TFLite Metadata: how the first input is normalised, where the first output's labels are."""
    b = flatbuffers.Builder()

    def table(fields, count):
        """Fields as {slot: (how to add it, value)}."""
        b.StartObject(count)
        for slot, (add, value) in fields.items():
            add(slot, value, 0)
        return b.EndObject()

    def vector(items, add, size):
        b.StartVector(size, len(items), 4)
        for item in reversed(items):
            add(item)
        return b.EndVector()

    offset, byte = b.PrependUOffsetTRelativeSlot, b.PrependUint8Slot

    def tables(*items):
        return vector(items, b.PrependUOffsetTRelative, 4)

    means, stds = (vector(v, b.PrependFloat32, 4) for v in (mean, std))
    options = table({0: (offset, means), 1: (offset, stds)}, 2)
    unit = table({0: (byte, 1), 1: (offset, options)}, 2)
    units = tables(unit)
    image = table({4: (offset, units)}, 7)
    name = b.CreateString(label_file)
    file = table({0: (offset, name), 2: (byte, 2)}, 5)
    files = tables(file)
    scores = table({6: (offset, files)}, 7)
    sides = tables(image), tables(scores)
    graph = table({2: (offset, sides[0]), 3: (offset, sides[1])}, 7)
    graphs = tables(graph)
    b.Finish(table({3: (offset, graphs)}, 8), b"M001")
    return bytes(b.Output())
