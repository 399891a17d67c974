"""ONNX Runtime."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import onnxruntime as ort

from edgenn.errors import ModelError
from edgenn.runtime.engines import _providers
from edgenn.types import Floats

SUFFIX = ".onnx"
MANIFEST_KEY = "edgenn.manifest"


class OnnxEngine:
    """A session of ONNX Runtime.

    Attributes:
        provider: Where it computes: cpu, cuda or tensorrt.
    """

    def __init__(self, session: ort.InferenceSession, provider: str = "cpu") -> None:
        self._session = session
        self.provider = provider
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

    def end_profiling(self) -> str:
        """Path of the profile of all that ran; see `open_on`."""
        return str(self._session.end_profiling())


def open_model(data: bytes, threads: int) -> OnnxEngine:
    """Load a model from memory.

    Args:
        data: The .onnx file.
        threads: Worker threads; 0 lets the engine choose.

    Raises:
        ModelError: Not a model that onnxruntime can load.
    """
    return OnnxEngine(_session(data, threads))


def open_on(
    data: bytes, threads: int, wish: _providers.Wish, profile: str | None = None
) -> OnnxEngine:
    """Load a model from memory, on a GPU where that is wished and there is one.

    Args:
        data: The .onnx file.
        threads: Worker threads on the CPU; 0 lets the engine choose.
        wish: Where to compute.
        profile: Beginning of the path of a profile that is to be written; None for none.

    Raises:
        MissingExtraError: The wanted provider is not in the installed onnxruntime.
        ModelError: Not a model that onnxruntime can load there.
    """
    tries = _providers.plans(wish, ort.get_available_providers(), cache_folder(data, wish))
    build = functools.partial(_session, data, threads, profile=profile)
    plan, session = _providers.open_first(tries, build)
    _providers.warn_of_half(wish, plan)
    return OnnxEngine(session, plan.name)


def cache_folder(data: bytes, wish: _providers.Wish) -> Path:
    """Where TensorRT's engine for a file is kept with the versions that are installed."""
    has = _providers.TENSORRT in ort.get_available_providers()
    tensorrt = _providers.tensorrt_version() if has else "none"
    return _providers.cache_folder(data, wish, ort.__version__, tensorrt)


def read_manifest(data: bytes) -> str | None:
    """The manifest in the file's ``metadata_props``, None where it has none.

    Raises:
        ModelError: Not a model that onnxruntime can load.
    """
    found: str | None = _session(data, 1).get_modelmeta().custom_metadata_map.get(MANIFEST_KEY)
    return found


def _session(
    data: bytes,
    threads: int,
    plan: _providers.Plan = _providers.ON_CPU,
    profile: str | None = None,
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning workers burn the cores that capture, decoding and OpenCV need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    try:
        # Its own fallback to other providers would be a silent one.
        session = ort.InferenceSession(
            data, options, providers=list(plan.providers), enable_fallback=0
        )
    except Exception as error:
        raise ModelError(f"onnxruntime cannot load the model: {_reason(error)}") from error
    _providers.check_used(plan, session.get_providers())
    session.disable_fallback()
    return session


def _reason(error: Exception) -> str:
    """The sentence in onnxruntime's message, without codes and C++ signatures."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return re.sub(r"\S+\.(cc|h):\d+ .*\) (?=\S)", "", text)
