"""ONNX, by torch's dynamo exporter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
import onnxscript.optimizer
import torch
from torch import nn

from edgenn.bundle.manifest import EngineName, Layout
from edgenn.compress import onnx as compress
from edgenn.compress._quiet import quiet
from edgenn.compress.onnx import Method
from edgenn.errors import ModelError, UsageError
from edgenn.export.formats import Names
from edgenn.runtime.engines.onnx import MANIFEST_KEY
from edgenn.types import Floats

ENGINE: EngineName = "onnx"
LAYOUT: Layout = "nchw"
# Element count up to which constants are folded: weights of recurrent layers are reordered by
# small graphs of their own, which must not run at every inference.
_FOLD = 1 << 24


def convert(net: nn.Module, examples: Sequence[Floats], names: Names, opset: int) -> bytes:
    """Export to ONNX with static shapes.

    Args:
        net: In eval mode.
        examples: (1, ...) float32 inputs.
        names: Of the inputs and outputs.
        opset: ONNX opset version.

    Raises:
        UsageError: The opset is one that the exporter does not write.
        ModelError: The net cannot be exported; says why.
    """
    if not 18 <= opset <= 23:
        raise UsageError(f"--opset must lie between 18 and 23, not {opset}")
    try:
        with quiet():
            program = torch.onnx.export(
                net,
                tuple(map(torch.from_numpy, examples)),
                input_names=["input", *names.inputs[1:]],
                output_names=list(names.outputs),
                opset_version=opset,
                dynamo=True,
                verbose=False,
            )
            assert program is not None
            model = onnxscript.optimizer.optimize(
                program.model_proto, input_size_limit=_FOLD, output_size_limit=_FOLD
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"the net cannot be exported to ONNX: {error}") from error
    _forget_origin(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def half(data: bytes) -> bytes:
    """Weights and activations in float16, input and outputs in float32."""
    return compress.float16(data)


def int8(data: bytes, samples: Iterable[Floats], *, recurrent: bool, method: Method) -> bytes:
    """Static int8 for conv nets, int8 weights for recurrent ones."""
    return compress.weights_int8(data) if recurrent else compress.static_int8(data, samples, method)


def tensors(data: bytes, names: Names) -> dict[str, str]:
    """Manifest tensor names to those of the file."""
    graph = onnx.load_from_string(data).graph
    given = [value.name for value in (*graph.input, *graph.output)]
    return dict(zip((*names.inputs, *names.outputs), given, strict=True))


def embed(data: bytes, manifest: str) -> bytes:
    """Put the manifest into ``metadata_props``."""
    model = onnx.load_from_string(data)
    onnx.helper.set_model_props(model, {MANIFEST_KEY: manifest})
    return bytes(model.SerializeToString())


def _forget_origin(model: onnx.ModelProto) -> None:
    """Drop the source lines and paths of this machine that the exporter writes into every node."""
    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
