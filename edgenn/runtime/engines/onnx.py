"""ONNX Runtime."""

from __future__ import annotations

import re
from collections.abc import Mapping

import onnxruntime as ort

from edgenn.errors import ModelError
from edgenn.types import Floats

SUFFIX = ".onnx"
MANIFEST_KEY = "edgenn.manifest"


class OnnxEngine:
    """A session of ONNX Runtime on the CPU."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.inputs: Mapping[str, tuple[int, ...]] = {
            i.name: tuple(d if isinstance(d, int) else -1 for d in i.shape)
            for i in session.get_inputs()
        }
        self.outputs: tuple[str, ...] = tuple(o.name for o in session.get_outputs())

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        try:
            values = self._session.run(None, dict(feeds))
        except Exception as error:
            raise ModelError(f"onnxruntime could not run the model: {_reason(error)}") from error
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
    found: str | None = _session(data, 1).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
    return found


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
