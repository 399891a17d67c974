"""Reading a foreign model file: a stranger's bytes, bounded before they are used."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgenn import plugins
from edgenn.bundle.manifest import EngineName
from edgenn.bundle.store import MAX_FILE, refuse_impostor
from edgenn.errors import ModelError
from edgenn.runtime import engines

SUFFIXES: dict[str, EngineName] = {".onnx": "onnx", ".tflite": "litert"}
_TORCH = "a file of PyTorch, which runs nowhere without its code: export it to ONNX"
_TENSORFLOW = "a model of TensorFlow: convert it to TFLite"
_OTHERS = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".safetensors"), _TORCH),
    **dict.fromkeys((".h5", ".keras", ".pb"), _TENSORFLOW),
    **dict.fromkeys((".engine", ".trt"), "built by TensorRT for one GPU: take its ONNX file"),
}
MAX_TENSORS = 256
MAX_ELEMENTS = 1 << 26


@dataclass(frozen=True)
class Opened:
    """A file and the engine that has loaded it."""

    path: Path
    engine_name: EngineName
    data: bytes
    engine: engines.Engine
    extras: engines.Extras

    def scaling_of(self, name: str) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Mean and std of an input as the file says; None where it does not."""
        return self.extras.scaling if next(iter(self.engine.inputs)) == name else None


def is_foreign(path: Path) -> bool:
    """Whether this is a model file without a manifest of edgenn.

    Raises:
        ModelError: A model file that cannot be read, or one of a toolkit that does not run here.
    """
    suffix = path.suffix.lower()
    if suffix in _OTHERS and path.is_file():
        raise ModelError(f"{path} is {_OTHERS[suffix]}")
    if path.is_dir() and (path / "saved_model.pb").exists():
        raise ModelError(f"{path} is {_TENSORFLOW}")
    if suffix not in SUFFIXES or not path.is_file():
        return False
    name = SUFFIXES[suffix]
    data = _read(path)
    plugin = plugins.load(engines, name)
    if name == "onnx":
        # A file whose weights lie elsewhere is never edgenn's, and cannot be opened from memory.
        return plugin.MANIFEST_KEY.encode() not in data
    try:
        return bool(plugin.read_manifest(data) is None)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def open_file(path: Path, threads: int = 1) -> Opened:
    """Load a foreign file.

    Args:
        path: The file.
        threads: Worker threads of its engine; 0 lets it choose.

    Raises:
        ModelError: Not a model, too large, or of operations that the engine does not have.
    """
    data = _read(path)
    name = SUFFIXES[path.suffix.lower()]
    plugin = plugins.load(engines, name)
    try:
        if name == "onnx":
            data = plugin.merged(path, data)
        engine: engines.Engine = plugin.open_model(data, threads)
        extras = plugin.read_extras(data, engine)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if len(engine.inputs) + len(engine.outputs) > MAX_TENSORS:
        raise ModelError(f"{path} has more than {MAX_TENSORS} inputs and outputs; it is refused")
    return Opened(path, name, data, engine, extras)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise ModelError(f"{path} is over {MAX_FILE >> 20} MiB; it is refused")
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror}") from error
    refuse_impostor(data[:512], str(path))
    return data
