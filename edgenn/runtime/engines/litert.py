"""LiteRT, formerly TensorFlow Lite: ``ai-edge-litert``, or ``tflite-runtime`` where that is
what the device has (32-bit ARM).
"""

from __future__ import annotations

import io
import json
import logging
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgenn.errors import ModelError
from edgenn.runtime.engines import Extras
from edgenn.runtime.engines._fair import FairLock
from edgenn.runtime.engines._flatbuffer import has_dense_channels, label_files, tensor_scaling
from edgenn.types import Floats

if TYPE_CHECKING:
    from edgenn.runtime.engines._litert_profiler import Recorder

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

_log = logging.getLogger(__name__)
_IS_OLD = Interpreter.__module__.startswith("tflite_runtime")

SUFFIX = ".tflite"
MANIFEST_FILE = "edgenn.manifest.json"
_MAX_MANIFEST = 4 << 20
_MAX_TEXT = 1 << 20
_MAX_FILES = 64


class LiteRtEngine:
    """An interpreter with allocated tensors."""

    def __init__(self, interpreter: Any) -> None:  # noqa: ANN401  two packages, no shared type
        self._interpreter = interpreter
        self._turn = FairLock()  # an interpreter has one set of tensors
        self._look()
        self.inputs: Mapping[str, tuple[int, ...]] = {
            name: tuple(int(n) for n in d.get("shape_signature", ())) or _shape(d)
            for name, d in self._ins.items()
        }

    def _look(self) -> None:
        interpreter = self._interpreter
        self._ins: dict[str, dict[str, Any]] = {
            d["name"]: d for d in interpreter.get_input_details()
        }
        self._outs: dict[str, dict[str, Any]] = {
            d["name"]: d for d in interpreter.get_output_details()
        }
        self.outputs: tuple[str, ...] = tuple(self._outs)
        both = {**self._ins, **self._outs}
        self.dtypes: Mapping[str, str] = {n: np.dtype(d["dtype"]).name for n, d in both.items()}
        self.pixels: Mapping[str, tuple[float, float]] = {
            name: (float(zero - np.iinfo(d["dtype"]).min), 1 / float(scale))
            for name, d in self._ins.items()
            for scale, zero in [d["quantization"]]
            if scale and np.dtype(d["dtype"]).name in ("int8", "uint8")
        }

    def fix(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """See `edgenn.runtime.engines.Engine.fix`."""
        with self._turn:
            try:
                for name, shape in shapes.items():
                    if _shape(self._ins[name]) != shape:
                        self._interpreter.resize_tensor_input(self._ins[name]["index"], shape)
                self._interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"LiteRT cannot take {dict(shapes)}: {_reason(error)}") from error
            self._look()
        self.inputs = {**self.inputs, **shapes}

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        if feeds.keys() != self._ins.keys():
            raise ModelError(f"the model takes {sorted(self._ins)}, not {sorted(feeds)}")
        with self._turn:
            try:
                for name, value in feeds.items():
                    details = self._ins[name]
                    self._interpreter.set_tensor(details["index"], quantize(value, details))
                # Memory inside of a file would go on into the next window, and between twins.
                self._interpreter.reset_all_variables()
                self._interpreter.invoke()
            except (ValueError, RuntimeError) as error:
                raise ModelError(f"LiteRT could not run the model: {_reason(error)}") from error
            return {
                name: dequantize(self._interpreter.get_tensor(d["index"]), d)
                for name, d in self._outs.items()
            }


class ProfiledEngine(LiteRtEngine):
    """One whose inferences are also run where LiteRT can say what each operator takes."""

    def __init__(self, engine: LiteRtEngine, recorder: Recorder, path: Path) -> None:
        super().__init__(engine._interpreter)
        self._recorder, self._path = recorder, path

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        found = super().run(feeds)
        self._recorder.run({n: quantize(v, self._ins[n]) for n, v in feeds.items()})
        return found

    def end_profiling(self) -> str:
        """Path of the profile of all that ran, in the form that ONNX Runtime writes."""
        self._path.write_text(json.dumps(self._recorder.events()), encoding="utf-8")
        return str(self._path)


def open_profiled(data: bytes, threads: int, profile: str) -> ProfiledEngine:
    """Load a model from memory, and write a profile of what it runs.

    Args:
        data: The .tflite file.
        threads: Worker threads; 0 lets the engine choose.
        profile: Beginning of the path of the profile.

    Raises:
        ModelError: Not a model that LiteRT can load, or no profiler in this LiteRT.
    """
    # Of the bench alone: a device that runs need not wait for it.
    from edgenn.runtime.engines._litert_profiler import Recorder

    engine = open_model(data, threads)
    return ProfiledEngine(engine, Recorder(data, threads), Path(f"{profile}_litert.json"))


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
        raise ModelError(f"LiteRT cannot load the model: {_reason(error)}") from error
    if doubts(data):
        _log.warning(
            "tflite-runtime computes dense int8 layers with one scale for all channels, where this "
            "model has one for each: see what 'edgenn verify' says of it"
        )
    return LiteRtEngine(interpreter)


def doubts(data: bytes) -> bool:
    """Whether the installed runtime computes something else than the file says, and tells nobody.

    ``tflite-runtime`` 2.14, which is the last one, takes the first of several scales in fully
    connected layers.
    """
    return _IS_OLD and has_dense_channels(data)


def has_gpu() -> bool:
    """It computes on the CPU."""
    return False


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


def read_extras(data: bytes, engine: LiteRtEngine) -> Extras:
    """Text files in the zip appended to the file, and its TFLite Metadata.

    Raises:
        ModelError: Damaged.
    """
    del engine
    files: dict[str, str] = {}
    if zipfile.is_zipfile(io.BytesIO(data)):
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                for info in archive.infolist()[:_MAX_FILES]:
                    if info.file_size <= _MAX_TEXT:
                        files[info.filename[:256]] = archive.read(info).decode("utf-8", "replace")
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
            raise ModelError(f"the files packed into it are damaged: {error}") from error
    return Extras({}, files, tensor_scaling(data), label_files(data))


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
    if kind.kind == "f":
        return value.astype(kind, copy=False)
    limits = np.iinfo(kind) if kind.kind in "iu" else None
    if limits is None:
        return value.astype(kind)
    found = _steps(details, value.ndim)
    if found is None:
        return np.rint(value).clip(limits.min, limits.max).astype(kind)
    scale, zero = found
    codes = np.rint(value / scale + zero).clip(limits.min, limits.max)
    return np.asarray(codes, kind)


def dequantize(value: np.ndarray[Any, Any], details: Mapping[str, Any]) -> Floats:
    """Back to float32: ``(q - zero_point) * scale``."""
    if value.dtype.kind == "f":
        return value.astype(np.float32, copy=False)
    found = _steps(details, value.ndim) if value.dtype.kind in "iu" else None
    if found is None:
        return value.astype(np.float32)
    scale, zero = found
    return (value.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def _steps(details: Mapping[str, Any], rank: int) -> tuple[Any, Any] | None:
    """Scale and zero point, per tensor or along one axis; None where the codes are the values."""
    scale, zero = details["quantization"]
    if scale:
        return scale, zero
    several = details.get("quantization_parameters", {})
    scales = np.asarray(several.get("scales", ()), np.float32)
    if len(scales) < 2:
        return None
    shape = [1] * rank
    shape[int(several["quantized_dimension"])] = len(scales)
    return scales.reshape(shape), np.asarray(several["zero_points"], np.float32).reshape(shape)


def _shape(details: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in details["shape"])


def _reason(error: Exception) -> str:
    """One sentence of LiteRT's message."""
    text = " ".join(str(error).split())
    custom = re.search(r"unresolved custom op: (\S+?)\.? ", text + " ")
    if custom:
        return f"it uses the custom operation {custom[1]}, which LiteRT does not have"
    return text
