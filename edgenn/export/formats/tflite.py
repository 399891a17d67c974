"""TFLite, by litert-torch."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from edgenn.bundle.manifest import EngineName, Layout
from edgenn.compress import litert as compress
from edgenn.compress._quiet import quiet
from edgenn.compress.onnx import Method
from edgenn.errors import ModelError
from edgenn.export.formats import Names
from edgenn.runtime.engines import litert as engine
from edgenn.types import Floats

ENGINE: EngineName = "litert"
LAYOUT: Layout = "nhwc"


def convert(net: nn.Module, examples: Sequence[Floats], names: Names, opset: int) -> bytes:
    """Export to TFLite; pictures go in as (1, H, W, 3), which saves a transposition.

    Args:
        net: In eval mode.
        examples: (1, ...) float32 inputs, a picture as (1, 3, H, W).
        names: TFLite numbers inputs and outputs in this order.
        opset: Has no meaning here.

    Raises:
        ModelError: The net cannot be converted; says why.
    """
    del names, opset
    with tempfile.TemporaryDirectory() as folder, quiet():
        # Its import alone takes seconds and writes warnings.
        import litert_torch

        first, *rest = examples
        if first.ndim == 4:
            net = litert_torch.to_channel_last_io(net, args=[0]).eval()
            first = np.ascontiguousarray(first.transpose(0, 2, 3, 1))
        arguments = tuple(map(torch.from_numpy, (first, *rest)))
        out = Path(folder) / "model.tflite"
        try:
            litert_torch.convert(net, arguments).export(str(out))
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise ModelError(f"the net cannot be converted to TFLite: {error}") from error
        return out.read_bytes()


def half(data: bytes) -> bytes:
    """Weights in float16."""
    return compress.float16(data)


def int8(data: bytes, samples: Iterable[Floats], *, recurrent: bool, method: Method) -> bytes:
    """Static int8 for conv nets, dynamic int8 for recurrent ones."""
    del method  # the quantiser for this format has one way to find ranges
    return compress.dynamic_int8(data) if recurrent else compress.static_int8(data, samples)


def tensors(data: bytes, names: Names) -> dict[str, str]:
    """Manifest tensor names to those of the file, through its signature."""
    with quiet():
        own = engine.signature(data)
    return {
        **{name: own[f"args_{number}"] for number, name in enumerate(names.inputs)},
        **{name: own[f"output_{number}"] for number, name in enumerate(names.outputs)},
    }


def embed(data: bytes, manifest: str) -> bytes:
    """Append a zip with the manifest, which interpreters that do not know of it ignore."""
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        info = zipfile.ZipInfo(engine.MANIFEST_FILE, (1980, 1, 1, 0, 0, 0))
        archive.writestr(info, manifest)
    return buffer.getvalue()
