"""Where the file of a model is, and which file of a bundle is the one to run."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Literal

from edgenn import plugins
from edgenn.bundle.manifest import EngineName, Manifest, Precision, Variant, parse_manifest
from edgenn.bundle.store import MANIFEST, Bundle, open_bundle, refuse_impostor
from edgenn.errors import MissingExtraError, ModelError, UsageError
from edgenn.runtime import engines
from edgenn.runtime.engines._providers import Provider

# Modules any one of which makes an engine usable, in order of preference.
_PACKAGES: dict[EngineName, tuple[str, ...]] = {
    "litert": ("ai_edge_litert", "tflite_runtime"),
    "onnx": ("onnxruntime",),
}
# A quantised file is only in a bundle if it passed the accuracy gate, so it comes first.
_PRECISIONS: tuple[Precision, ...] = ("int8", "fp32", "fp16")


def on_gpu(
    provider: Provider, engine: EngineName | Literal["auto"], precision: Precision | None
) -> tuple[EngineName | Literal["auto"], Precision | None]:
    """Engine and precision to look for, given where to compute.

    Raises:
        UsageError: The engine that was asked for has no providers.
    """
    if provider in ("auto", "cpu"):
        return engine, precision
    if engine == "litert":
        raise UsageError(f"LiteRT has no provider {provider}; --provider is for --engine onnx")
    # A GPU gains nothing from the int8 files, which are quantised for processors.
    return "onnx", precision or "fp32"


def find(
    path: str | Path,
    engine: EngineName | Literal["auto"] = "auto",
    precision: Precision | None = None,
) -> tuple[Manifest, Variant, bytes]:
    """The file that `load` would run, without loading it.

    Raises:
        ModelError: The file is missing, damaged, or no model that edgenn wrote.
        UsageError: The bundle has no such variant.
        MissingExtraError: No installed engine can run it.
    """
    path = resolve(path)
    if path.suffix in (".onnx", ".tflite") and path.is_file():
        manifest, variant, data = read_bare(path)
        _refuse_other(path, variant, engine, precision)
        return manifest, variant, data
    bundle = open_bundle(path)
    chosen = choose(bundle, engine, precision)
    return bundle.manifest, chosen, bundle.read(chosen.file)


def choose(
    bundle: Bundle, engine: EngineName | Literal["auto"], precision: Precision | None
) -> Variant:
    """The variant of a bundle that fits the wishes and what is installed."""
    variants = [
        v
        for v in bundle.manifest.variants
        if engine in ("auto", v.engine) and precision in (None, v.precision)
    ]
    if not variants:
        there = ", ".join(f"{v.engine} {v.precision}" for v in bundle.manifest.variants)
        wish = " ".join(w for w in (engine if engine != "auto" else "", precision or "") if w)
        raise UsageError(f"{bundle.path} has no {wish} variant; it has {there or 'none'}")
    usable = [v for v in variants if v.engine in installed()]
    if not usable:
        name = variants[0].engine
        raise MissingExtraError(
            f"no engine for this model is installed: pip install 'edgenn[{name}]'"
        )
    order = list(_PACKAGES)

    def rank(v: Variant) -> tuple[bool, int, int]:
        wrong = len(usable) > 1 and _is_doubtful(bundle, v)
        return wrong, _PRECISIONS.index(v.precision), order.index(v.engine)

    return min(usable, key=rank)


def _is_doubtful(bundle: Bundle, variant: Variant) -> bool:
    """Whether the old runtime, where it is the one that is there, computes something else."""
    newer, _ = _PACKAGES["litert"]
    if variant.engine != "litert" or _is_here(newer):
        return False
    return bool(plugins.load(engines, "litert").doubts(bundle.read(variant.file)))


def _is_here(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def installed() -> list[EngineName]:
    """Engines that this device can import, without importing them."""
    return [name for name, packages in _PACKAGES.items() if any(_is_here(p) for p in packages)]


def _refuse_other(
    path: Path, variant: Variant, engine: EngineName | Literal["auto"], precision: Precision | None
) -> None:
    """Make sure that a single file is what was asked for."""
    if engine not in ("auto", variant.engine):
        raise UsageError(f"{path} runs on the {variant.engine} engine, not on {engine}")
    if precision not in (None, variant.precision):
        raise UsageError(f"{path} is {variant.precision}, not {precision}")


def read_bare(path: Path) -> tuple[Manifest, Variant, bytes]:
    """A bare model file, with the manifest embedded in it.

    Raises:
        ModelError: Missing, damaged, or without a manifest.
    """
    if not path.is_file():
        raise ModelError(f"there is no model at {path}")
    data = path.read_bytes()
    refuse_impostor(data[:512], str(path))
    name: EngineName = "onnx" if path.suffix == ".onnx" else "litert"
    plugin = plugins.load(engines, name)
    try:
        text = plugin.read_manifest(data)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    if text is None:
        raise ModelError(
            f"{path} carries no edgenn manifest, so its labels and preprocessing are unknown; "
            "use a file that edgenn export wrote"
        )
    manifest = parse_manifest(text, str(path))
    if len(manifest.variants) != 1 or manifest.variants[0].engine != name:
        raise ModelError(f"{path}: the embedded manifest does not describe this file")
    return manifest, manifest.variants[0], data


def builtin_dir() -> Path:
    """Folder of the models that come with edgenn."""
    here = Path(__file__).resolve().parents[1]
    installed_at = here / "models"
    return installed_at if installed_at.is_dir() else here.parent / "models"


def resolve(name: str | Path) -> Path:
    """Path of a model given as a path or as the name of a built-in one.

    Raises:
        ModelError: Neither; the message lists the built-in models.
    """
    path = Path(name)
    if path.is_file() or (path / MANIFEST).is_file():
        return path
    if (inside := path / f"{path.resolve().name}.edgenn").is_file():
        return inside  # the folder of a model with its recipe and card
    builtin = builtin_dir() / str(name) / f"{name}.edgenn"
    if path.name == str(name) and builtin.exists():
        return builtin
    if path.exists():  # no model, which its opening will say
        return path
    known = sorted(p.parent.name for p in builtin_dir().glob("*/*.edgenn"))
    builtin_names = f", or a built-in model: {', '.join(known)}" if known else ""
    raise ModelError(f"there is no model at {name}; give a path{builtin_names}")
