"""Plug-ins are files: the file's name is the name that the user types.

There is no table to keep, no decorator and no if-ladder: ``names`` lists the
files of a package, ``load`` imports one of them and nothing else.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from types import ModuleType

from edgenn.errors import MissingExtraError, UnknownNameError

# Optional distribution that provides a module -> the extra of edgenn that brings it.
EXTRAS = {
    "torch": "train",
    "accelerate": "train",
    "faster_coco_eval": "train",
    "matplotlib": "train",
    "safetensors": "train",
    "yaml": "train",
    "tqdm": "train",
    "onnx": "train",
    "onnxscript": "train",
    "litert_torch": "train",
    "ai_edge_quantizer": "train",
    "onnxruntime": "onnx",
    "ai_edge_litert": "litert",
    "paho": "mqtt",
    "gpiozero": "gpio",
    "serial": "serial",
    "smbus2": "i2c",
    "cryptography": "sign",
}


def names(package: ModuleType) -> list[str]:
    """Names of the plug-ins in ``package``, without importing any of them.

    A file whose name starts with an underscore is shared code, not a plug-in.
    """
    return sorted(
        info.name for info in pkgutil.iter_modules(package.__path__) if info.name[0] != "_"
    )


def load(package: ModuleType, name: str) -> ModuleType:
    """Import the plug-in ``name`` of ``package``.

    Raises:
        UnknownNameError: No file of that name; the message holds the nearest one.
        MissingExtraError: The plug-in needs a package that is not installed.
    """
    known = names(package)
    if name not in known:
        kind = package.__name__.rpartition(".")[2].rstrip("s")
        raise UnknownNameError(f"no {kind} is called {name!r}{suggestion(name, known)}")
    try:
        return importlib.import_module(f"{package.__name__}.{name}")
    except ModuleNotFoundError as error:
        raise missing_extra(error, f"{package.__name__.rpartition('.')[2]}/{name}") from error


def suggestion(name: str, known: list[str]) -> str:
    """The end of a sentence: what the user may have meant, or what there is."""
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(known) or 'none'}"


def missing_extra(error: ModuleNotFoundError, what: str) -> MissingExtraError:
    """Turn an import that failed into a sentence with the pip line that mends it."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    pip = f"pip install 'edgenn[{extra}]'" if extra else f"pip install {module}"
    return MissingExtraError(f"{what} needs the package {module!r}: {pip}")
