"""Post-training quantisation of ONNX files, with onnxruntime's quantiser.

Conv nets become static int8: QDQ form, weights per channel, activations with
ranges found on real samples (Jacob et al. 2018; Wu et al. 2020). Recurrent nets
keep float activations: weights are int8 and everything else is as it was.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    create_calibrator,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from edgenn.compress._quiet import quiet
from edgenn.train.qat import SILU_FLOOR
from edgenn.types import Floats

Method = Literal["minmax", "entropy", "percentile"]

_METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
}
# Weights of these are stored as int8 where activations stay float: input number -> axis of
# the output channels.
_WEIGHTS = {
    "GRU": {1: 1, 2: 1},
    "LSTM": {1: 1, 2: 1},
    "MatMul": {1: 1},
    "Gemm": {1: 0},
    "Conv": {1: 0},
}


def static_int8(data: bytes, samples: Iterable[Floats], method: Method) -> bytes:
    """Quantise weights and activations to int8.

    Args:
        data: A float ONNX file with one input.
        samples: Inputs as the net takes them, batch of 1; real ones, a hundred or more.
        method: How ranges are found: the extremes, the least relative entropy
            (Migacz 2017), or the 99.999th percentile.

    Returns:
        The quantised file; its input and outputs stay float32.
    """
    with tempfile.TemporaryDirectory() as folder, quiet():
        plain, ready, out = (Path(folder) / n for n in ("plain.onnx", "ready.onnx", "out.onnx"))
        plain.write_bytes(data)
        quant_pre_process(str(plain), str(ready), skip_symbolic_shape=True)
        graph = onnx.load(str(ready), load_external_data=False).graph
        name, samples = graph.input[0].name, list(samples)
        quantize_static(
            str(ready),
            str(out),
            _Reader(name, samples),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            # Signed activations leave many convolutions in float on x86, each between two
            # conversions: 2.6 times slower. Arm's dot products take either.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=_METHODS[method],
            extra_options={"TensorQuantOverrides": _floors(ready, graph, samples, method)},
        )
        return out.read_bytes()


def _floors(
    path: Path, graph: onnx.GraphProto, samples: list[Floats], method: Method
) -> dict[str, list[dict[str, Any]]]:
    """Ranges of what SiLU takes, without the part that it turns into nothing."""
    multiplied = {name for node in graph.node if node.op_type == "Mul" for name in node.input}
    taken = [
        node.input[0]
        for node in graph.node
        if node.op_type == "Sigmoid" and {node.input[0], node.output[0]} <= multiplied
    ]
    if not taken:
        return {}
    augmented = path.with_name("augmented.onnx")
    calibrator = create_calibrator(
        path, ["Sigmoid"], augmented_model_path=str(augmented), calibrate_method=_METHODS[method]
    )
    calibrator.collect_data(_Reader(graph.input[0].name, samples))
    found = calibrator.compute_data()
    ranges = {name: found[name].range_value for name in taken}
    return {
        name: [{"rmin": np.float32(SILU_FLOOR), "rmax": np.float32(high)}]
        for name, (low, high) in ranges.items()
        if low < SILU_FLOOR
    }


def weights_int8(data: bytes) -> bytes:
    """Store the weights of all layers as int8, per output channel.

    The engine turns them back to float when it runs, so states and
    activations keep full precision.

    Args:
        data: A float ONNX file.
    """
    model = onnx.load_from_string(data)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    done: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        for position, axis in _WEIGHTS.get(node.op_type, {}).items():
            name = node.input[position]
            if name not in constants:
                continue
            if name not in done:
                if node.op_type == "Gemm" and not _transposed(node):
                    axis = 1  # noqa: PLW2901  without transB the output channels come last
                nodes.append(_dequantize(model, constants[name], axis))
                done[name] = nodes[-1].output[0]
            node.input[position] = done[name]
        nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unused(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def float16(data: bytes) -> bytes:
    """Weights and activations to float16; input and outputs stay float32."""
    model = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True)
    return bytes(model.SerializeToString())


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Hands calibration samples to onnxruntime one by one."""

    def __init__(self, name: str, samples: Iterable[Floats]) -> None:
        self._name = name
        self._samples: Iterator[Floats] = iter(samples)

    def get_next(self) -> dict[str, Floats] | None:
        sample = next(self._samples, None)
        return None if sample is None else {self._name: sample}


def _transposed(node: onnx.NodeProto) -> bool:
    return any(a.name == "transB" and a.i for a in node.attribute)


def _dequantize(model: onnx.ModelProto, tensor: onnx.TensorProto, axis: int) -> onnx.NodeProto:
    values = numpy_helper.to_array(tensor)
    others = tuple(i for i in range(values.ndim) if i != axis)
    # A leading axis of 1 (one direction) reduces away, so the scale is one per output channel.
    scale = np.maximum(np.abs(values).max(axis=others), 1e-12).astype(np.float32) / 127
    shape = [1] * values.ndim
    shape[axis] = -1
    codes = np.rint(values / scale.reshape(shape)).astype(np.int8)
    names = [f"{tensor.name}_{part}" for part in ("int8", "scale", "float")]
    model.graph.initializer.append(numpy_helper.from_array(codes, names[0]))
    model.graph.initializer.append(numpy_helper.from_array(scale, names[1]))
    return helper.make_node("DequantizeLinear", names[:2], names[2:], axis=axis)


def _drop_unused(model: onnx.ModelProto) -> None:
    used = {name for node in model.graph.node for name in node.input}
    used |= {output.name for output in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
