"""ONNX Runtime."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime as ort

from edgenn.errors import ModelError
from edgenn.runtime.engines import Extras, _providers
from edgenn.runtime.engines._protobuf import external_files, with_weights
from edgenn.types import Floats

SUFFIX = ".onnx"
MANIFEST_KEY = "edgenn.manifest"
_MAX_TEXT = 1 << 20
_TYPES = {
    f"tensor({name})": kind
    for name, kind in {
        "float": "float32", "float16": "float16", "double": "float64", "bool": "bool",
        **{n: n for n in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
        "int64": "int64", "uint64": "uint64",
    }.items()
}  # fmt: skip


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
        nodes = [*session.get_inputs(), *session.get_outputs()]
        for node in nodes:
            if node.type not in _TYPES:
                raise ModelError(f"its tensor {node.name!r} is a {node.type}, not supported")
        self.dtypes: Mapping[str, str] = {n.name: _TYPES[n.type] for n in nodes}
        self.pixels: Mapping[str, tuple[float, float]] = {}

    def fix(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """See `edgenn.runtime.engines.Engine.fix`."""
        self.inputs = {**self.inputs, **shapes}  # a session takes any size that the file allows

    def run(self, feeds: Mapping[str, Floats]) -> dict[str, Floats]:
        """See `edgenn.runtime.engines.Engine.run`."""
        try:
            values = self._session.run(
                None, {name: cast(value, self.dtypes.get(name)) for name, value in feeds.items()}
            )
        except Exception as error:
            raise ModelError(f"onnxruntime could not run the model: {_reason(error)}") from error
        for name, value in zip(self.outputs, values, strict=True):
            if not isinstance(value, np.ndarray):
                raise ModelError(f"its output {name!r} is no tensor")
        return {
            name: value.astype(np.float32, copy=False)
            for name, value in zip(self.outputs, values, strict=True)
        }

    def metadata(self) -> dict[str, str]:
        """The file's ``metadata_props``."""
        found: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def end_profiling(self) -> str:
        """Path of the profile of all that ran; see `open_on`."""
        return str(self._session.end_profiling())


def cast(value: Floats, kind: str | None) -> np.ndarray:
    """To the type that the file wants; whole numbers are rounded and saturate."""
    if kind is None or kind == "float32":
        return value
    wanted = np.dtype(kind)
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        return np.rint(value.astype(np.float64)).clip(limits.min, limits.max).astype(wanted)
    return value.astype(wanted)


def open_model(data: bytes, threads: int) -> OnnxEngine:
    """Load a model from memory.

    Args:
        data: The .onnx file.
        threads: Worker threads; 0 lets the engine choose.

    Raises:
        ModelError: Not a model that onnxruntime can load.
    """
    try:
        outside = external_files(data)
    except ModelError as error:
        raise ModelError(f"onnxruntime cannot load the model: {error}") from error
    if outside:
        # onnxruntime would look for them in the folder that the user happens to be in.
        raise ModelError(
            f"its weights lie in other files ({', '.join(outside[:3])}); import it from its folder "
            "with 'edgenn import'"
        )
    return OnnxEngine(_session(data, threads))


def merged(path: Path, data: bytes) -> bytes:
    """A model with the weights that lie beside it, as one file.

    Args:
        path: Where the model lies.
        data: The model.

    Raises:
        ModelError: A weight file is missing, too large, or not in the model's folder.
    """
    outside = external_files(data)
    if not outside:
        return data
    root = path.resolve().parent
    for name in outside:
        target = (root / name).resolve()
        if not name or Path(name).is_absolute() or not target.is_relative_to(root):
            raise ModelError(f"{path}: its weights are to lie at {name!r}, outside its folder")
        if not target.is_file():
            raise ModelError(f"{path}: its weights {name!r} are missing; copy them beside it")
        if target.stat().st_size > 1 << 30:
            raise ModelError(f"{path}: its weights {name!r} are too large, over 1 GiB")

    def read(name: str, offset: int, length: int) -> bytes:
        with (root / name).open("rb") as file:
            file.seek(max(offset, 0))
            return file.read(length)

    return with_weights(data, read)


def read_extras(data: bytes, engine: OnnxEngine) -> Extras:
    """What the file's ``metadata_props`` say, from the engine that has loaded it."""
    del data
    return Extras({k[:256]: v for k, v in engine.metadata().items() if len(v) <= _MAX_TEXT})


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


def has_gpu() -> bool:
    """Whether the installed onnxruntime can compute elsewhere than on the CPU."""
    return bool({_providers.TENSORRT, _providers.CUDA} & set(ort.get_available_providers()))


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
    # Its errors come as exceptions, and are told once.
    options.log_severity_level = 4
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
    custom = re.search(r"(?:Fatal error: |No Op registered for )([\w.:]+?)(?:\(| is not|\s)", text)
    if custom:
        return f"it uses the custom operation {custom[1]}, which onnxruntime does not have"
    return re.sub(r"\S+\.(cc|h):\d+ .*\) (?=\S)", "", text)
