"""LiteRT, formerly TensorFlow Lite: ``ai-edge-litert``, or ``tflite-runtime`` where that is
what the device has (32-bit ARM).
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgenn.errors import ModelError
from edgenn.runtime.engines import Tensor
from edgenn.runtime.engines._fair import FairLock
from edgenn.types import Floats

try:
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError as _missing:
    if _missing.name != "ai_edge_litert":
        raise
    try:
        from tflite_runtime.interpreter import Interpreter
    except ModuleNotFoundError:
        # Name the maintained package in the message, not the old one.
        raise _missing from None

SUFFIX = ".tflite"
MANIFEST_FILE = "edgenn.manifest.json"
_MAX_MANIFEST = 4 << 20
_MAX_ATTACHED, _MOST_ATTACHED = 1 << 20, 16


class LiteRtEngine:
    """An interpreter with allocated tensors."""

    def __init__(
        self,
        interpreter: Any,  # noqa: ANN401  two packages, no shared type
        metadata: Mapping[str, str],
    ) -> None:
        self._interpreter = interpreter
        self._turn = FairLock()  # an interpreter has one set of tensors
        self._ins: dict[str, dict[str, Any]] = {
            d["name"]: d for d in interpreter.get_input_details()
        }
        self._outs: dict[str, dict[str, Any]] = {
            d["name"]: d for d in interpreter.get_output_details()
        }
        self.inputs: Mapping[str, tuple[int, ...]] = {
            name: tuple(int(n) for n in _signature(d)) for name, d in self._ins.items()
        }
        self.outputs: tuple[str, ...] = tuple(self._outs)
        self.kinds: Mapping[str, Tensor] = {
            name: Tensor(
                np.dtype(d["dtype"]).name, float(d["quantization"][0]), int(d["quantization"][1])
            )
            for name, d in self._ins.items()
        }
        self.metadata: Mapping[str, str] = metadata
        self._is_free = any(-1 in shape for shape in self.inputs.values())

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        if feeds.keys() != self._ins.keys():
            raise ModelError(f"the model takes {sorted(self._ins)}, not {sorted(feeds)}")
        with self._turn:
            try:
                if self._is_free:
                    self._fit(feeds)
                for name, value in feeds.items():
                    details = self._ins[name]
                    self._interpreter.set_tensor(details["index"], quantize(value, details))
                self._interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"LiteRT could not run the model: {error}") from error
            return {
                name: dequantize(self._interpreter.get_tensor(d["index"]), d)
                for name, d in self._outs.items()
            }

    def _fit(self, feeds: Mapping[str, Floats]) -> None:
        """Give free inputs the shapes of what they get."""
        changed = False
        for name, value in feeds.items():
            details = self._ins[name]
            if tuple(details["shape"]) != value.shape and -1 in self.inputs[name]:
                self._interpreter.resize_tensor_input(details["index"], value.shape, strict=True)
                changed = True
        if changed:
            self._interpreter.allocate_tensors()
            self._ins = {d["name"]: d for d in self._interpreter.get_input_details()}


def _signature(details: Mapping[str, Any]) -> tuple[int, ...]:
    """The shape of a tensor, -1 where it is free."""
    free = details.get("shape_signature")
    return tuple(details["shape"]) if free is None or not len(free) else tuple(free)


def open_model(data: bytes, threads: int) -> LiteRtEngine:
    """Load a model from memory.

    Args:
        data: The .tflite file.
        threads: Worker threads; 0 lets the engine choose.

    Raises:
        ModelError: Not a model that LiteRT can load.
    """
    try:
        interpreter = Interpreter(model_content=data, num_threads=threads or None)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"LiteRT cannot load the model: {error}") from error
    return LiteRtEngine(interpreter, read_attached(data))


def read_attached(data: bytes) -> dict[str, str]:
    """Texts in the zip appended to the file, by their names: labels, or metadata as JSON.

    Those that are too large, no text or damaged are left out: they are only hints.
    """
    found: dict[str, str] = {}
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return found
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist()[:_MOST_ATTACHED]:
                if info.filename != MANIFEST_FILE and info.file_size <= _MAX_ATTACHED:
                    found[info.filename] = archive.read(info).decode()
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, OSError):
        return found
    return found


def read_manifest(data: bytes) -> str | None:
    """The manifest in the zip appended to the file, None where it has none.

    Raises:
        ModelError: It is damaged or absurdly large.
    """
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if archive.getinfo(MANIFEST_FILE).file_size > _MAX_MANIFEST:
                raise ModelError("the manifest in it is too large to be real")
            return archive.read(MANIFEST_FILE).decode()
    except KeyError:
        return None
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise ModelError(f"the manifest in it is damaged: {error}") from error


def signature(data: bytes) -> dict[str, str]:
    """Names of the one signature's inputs and outputs (``args_0``, ``output_0``, ...) to the
    tensors that `LiteRtEngine` knows them by.
    """
    interpreter = Interpreter(model_content=data)
    details = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    names = {d["index"]: d["name"] for d in details}
    (entry,) = interpreter._get_full_signature_list().values()
    return {name: names[index] for side in entry.values() for name, index in side.items()}


def quantize(value: Floats, details: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    """To the tensor's integers, where it has any: ``round(x / scale + zero_point)``, saturated."""
    kind = np.dtype(details["dtype"])
    if kind.kind in "fb":
        return value.astype(kind, copy=False)
    scale, zero = details["quantization"]
    if not scale:
        scale, zero = _per_channel(details, 1.0)
    limits = np.iinfo(kind)
    codes = np.rint(value / scale + zero).clip(limits.min, limits.max)
    return np.asarray(codes, kind)


def _per_channel(details: Mapping[str, Any], plain: float) -> tuple[Any, Any]:
    """Scales and zeros of a tensor with one per channel, in its shape; else ``plain`` and 0."""
    given = details["quantization_parameters"]
    scales, zeros = np.asarray(given["scales"]), np.asarray(given["zero_points"])
    if not len(scales):
        return plain, 0
    shape = [1] * len(details["shape"])
    shape[int(given["quantized_dimension"])] = -1
    return scales.reshape(shape), zeros.reshape(shape)


def dequantize(value: np.ndarray[Any, Any], details: Mapping[str, Any]) -> Floats:
    """Back to float32: ``(q - zero_point) * scale``."""
    if value.dtype.kind == "f":
        return value.astype(np.float32, copy=False)
    scale, zero = details["quantization"]
    if not scale:
        if not len(details["quantization_parameters"]["scales"]):
            return value.astype(np.float32)
        scale, zero = _per_channel(details, 1.0)
    return (value.astype(np.float32) - np.float32(zero)) * np.float32(scale)
