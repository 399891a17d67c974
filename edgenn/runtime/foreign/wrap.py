"""A foreign file as a bundle, with golden samples of its own outputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgenn.bundle.manifest import Golden, Manifest, Tolerance
from edgenn.bundle.store import write_bundle
from edgenn.errors import ModelError
from edgenn.ops.preprocess import place
from edgenn.runtime.foreign import Described
from edgenn.runtime.golden import GoldenSample, pack
from edgenn.runtime.model import Model
from edgenn.types import Floats, Image

# Another processor rounds in another way; codes of 8 bits drift by some of them.
_APART = {"fp32": 0.002, "fp16": 0.02, "int8": 0.15}
_AGREE = {"fp32": 0.98, "fp16": 0.9, "int8": 0.6}
_FEWEST_LEVELS = 1e-4
_SIDES = ((240, 320), (320, 240), (288, 288))


def write(found: Described, out: Path, pictures: Sequence[Image] = ()) -> Manifest:
    """Write the bundle, whole or not at all.

    Golden samples are what this machine gives; on another one they prove that the same is
    computed there, not that the model is any good.

    Args:
        found: The file, understood.
        out: Path of the bundle.
        pictures: (H, W, 3) uint8 BGR; made up ones where there are none.

    Raises:
        ModelError: The model fails on a picture, or gives numbers that are not finite.
        BundleError: The bundle cannot be written.
    """
    variant = found.manifest.variants[0]
    model = found.model()
    samples = [_sample(model, picture) for picture in pictures or made_up()]
    reach = {
        name: max(float(np.abs(s.outputs[name]).max(initial=0)) for s in samples)
        for name in found.manifest.outputs
    }
    if not np.isfinite(list(reach.values())).all():
        raise ModelError(f"{found.manifest.name} gives numbers that are not finite")
    apart = _APART[variant.precision]
    variant = variant.model_copy(
        update={
            "sha256": hashlib.sha256(found.data).hexdigest(),
            "size": len(found.data),
            "tolerance": Tolerance(
                max_abs={name: max(apart * most, _FEWEST_LEVELS) for name, most in reach.items()},
                agreement=_AGREE[variant.precision],
            ),
        }
    )
    golden = pack(samples)
    manifest = found.manifest.model_copy(
        update={
            "variants": (variant,),
            "golden": Golden(
                sha256=hashlib.sha256(golden).hexdigest(), size=len(golden), count=len(samples)
            ),
        }
    )
    files = {variant.file: found.data, "golden.npz": golden}
    write_bundle(manifest, files, out)
    return manifest


def made_up() -> list[Image]:
    """Pictures with edges, colours and texture, the same each time."""
    rng = np.random.default_rng(0)
    pictures = []
    for height, width in _SIDES:
        y, x = np.mgrid[:height, :width].astype(np.float32)
        planes = [127 + 90 * np.sin(x / rng.uniform(7, 40) + y / rng.uniform(7, 40)) for _ in "bgr"]
        image = np.stack(planes, 2)
        for _ in range(6):
            top, left = rng.integers(0, height - 60), rng.integers(0, width - 60)
            image[top : top + 60, left : left + 40] = rng.uniform(0, 255, 3)
        pictures.append((image + rng.normal(0, 6, image.shape)).clip(0, 255).astype(np.uint8))
    return pictures


def _sample(model: Model, picture: Image) -> GoldenSample:
    spec = model.manifest.input
    assert spec.kind == "image"
    step = spec.steps[0]
    assert step.op != "normalize"
    placed = place(picture, step)
    model.reset()
    outputs: dict[str, Floats] = model.infer(model.finish_image(placed))
    return GoldenSample(picture, placed, {name: value.copy() for name, value in outputs.items()})
