"""ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort

from edgenn.errors import ModelError
from edgenn.runtime.engines import Tensor
from edgenn.types import Floats

SUFFIX = ".onnx"
MANIFEST_KEY = "edgenn.manifest"
_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_DTYPES = ("float32", "float16", "float64", "bool", *_INTEGERS)


class OnnxEngine:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs: Mapping[str, tuple[int, ...]] = {
            i.name: tuple(d if isinstance(d, int) else -1 for d in i.shape)
            for i in session.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(o.name for o in session.get_outputs())
        self.kinds: Mapping[str, Tensor] = {
            i.name: Tensor(_dtype(i.name, i.type)) for i in session.get_inputs()
        }
        found = session.get_modelmeta()
        self.metadata: Mapping[str, str] = {
            "producer": found.producer_name,
            "description": found.description,
            **found.custom_metadata_map,
        }
        # What edgenn exports takes float32 and needs no second look.
        self._casts = {n: k.dtype for n, k in self.kinds.items() if k.dtype != "float32"}
        self._is_plain = all(o.type == "tensor(float)" for o in session.get_outputs())

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        given: dict[str, np.ndarray[Any, Any]] = dict(feeds)
        for name, kind in self._casts.items():
            if name in given:
                given[name] = _cast(given[name], kind)
        try:
            values = self._session.run(None, given)
        except Exception as error:
            raise ModelError(f"onnxruntime could not run the model: {_reason(error)}") from error
        if not self._is_plain:
            values = [_floats(n, v) for n, v in zip(self.outputs, values, strict=True)]
        return dict(zip(self.outputs, values, strict=True))


def open_model(data: bytes, threads: int) -> OnnxEngine:
    """Load a model from memory.

    Args:
        data: The .onnx file.
        threads: Worker threads; 0 lets the engine choose.

    Raises:
        ModelError: Not a model that onnxruntime can load.
    """
    return OnnxEngine(_session(data, threads))


def read_manifest(data: bytes) -> str | None:
    """The manifest in the file's ``metadata_props``, None where it has none.

    Raises:
        ModelError: Not a model that onnxruntime can load.
    """
    # A key is in a file as it is written, and a session takes its time to open.
    if MANIFEST_KEY.encode() not in data:
        return None
    found: str | None = _session(data, 1).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
    return found


def _dtype(name: str, kind: str) -> str:
    """The numpy type of "tensor(float16)".

    Raises:
        ModelError: It is none of numbers.
    """
    inner = kind.removeprefix("tensor(").removesuffix(")")
    inner = {"float": "float32", "double": "float64"}.get(inner, inner)
    if inner not in _DTYPES:
        raise ModelError(f"the input {name} is a {kind}, which is not known")
    return inner


def _cast(value: Floats, kind: str) -> np.ndarray[Any, Any]:
    """To the type of an input; integers are rounded and kept within their range."""
    if kind.startswith(("int", "uint")):
        limits = np.iinfo(kind)
        return np.rint(value).clip(limits.min, limits.max).astype(kind)
    return value.astype(kind)


def _floats(name: str, value: object) -> Floats:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        raise ModelError(f"the output {name} is no tensor of numbers")
    return value.astype(np.float32, copy=False)


def _session(data: bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers burn the cores that capture, decoding and OpenCV need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"onnxruntime cannot load the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The sentence in onnxruntime's message, without codes and C++ signatures."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"\S+\.(cc|h):\d+ .*\) (?=\S)", "", text)
