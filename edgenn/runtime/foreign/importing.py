"""A foreign file becomes a bundle, with golden samples made by the file itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edgenn.bundle.manifest import Golden, ImageInput, Tolerance, WindowInput
from edgenn.bundle.store import write_bundle
from edgenn.errors import ModelError, UsageError
from edgenn.ops.preprocess import Normalize, check_image, place
from edgenn.runtime.foreign._build import Described, describe
from edgenn.runtime.foreign._trial import try_apart
from edgenn.runtime.foreign._wishes import Wishes
from edgenn.runtime.golden import GoldenSample, pack
from edgenn.runtime.model import Model
from edgenn.types import Floats, Image

# Share of an output's largest value that another processor's arithmetic may differ by.
_ROOM = {"fp32": 1e-3, "fp16": 2e-2, "int8": 5e-2}
# Windows of the golden readings: so many that there are about as many readings.
_WINDOWS, _MOST_WINDOWS, _ROWS = 4, 64, 512
_FRAMES = 8


def import_model(
    path: Path, out: Path, wishes: Wishes, pictures: Sequence[Image] = ()
) -> Described:
    """Write a foreign file as a bundle.

    The file is first opened in a process of its own, so that a file which makes the engine
    crash ends in a sentence.

    Args:
        path: .onnx or .tflite file.
        out: Bundle to write.
        wishes: What the user says of it.
        pictures: (H, W, 3) uint8 BGR, for the golden samples; none: a generated one, or
            generated readings.

    Returns:
        What was found, with the bundle's manifest.

    Raises:
        ModelError: Damaged, or of a layout that is not known.
        UsageError: The file leaves open what a flag must say, or there are pictures for a
            model of readings.
        BundleError: The bundle cannot be written.
    """
    try_apart(path, wishes)
    found = describe(path, wishes)
    (variant,) = found.manifest.variants
    model = Model(found.manifest, variant, found.data, engine=found.engine)
    samples = _samples(model, path, pictures)
    golden = pack(samples)
    peaks = {
        name: max(float(np.abs(sample.outputs[name]).max(initial=0)) for sample in samples)
        for name in found.manifest.outputs
    }
    if not np.isfinite(list(peaks.values())).all():
        raise ModelError(f"{path} gives NaN or infinity; it is of no use")
    room = _ROOM[variant.precision]
    variant = variant.model_copy(
        update={
            "sha256": hashlib.sha256(found.data).hexdigest(),
            "size": len(found.data),
            "tolerance": Tolerance(
                max_abs={name: room * max(peak, 1e-3) for name, peak in peaks.items()},
                agreement=0.5 if variant.precision == "int8" else 0.9,
            ),
        }
    )
    manifest = found.manifest.model_copy(
        update={
            "variants": (variant,),
            "golden": Golden(
                sha256=hashlib.sha256(golden).hexdigest(), size=len(golden), count=len(samples)
            ),
        }
    )
    write_bundle(manifest, {variant.file: found.data, "golden.npz": golden}, out)
    return replace(found, manifest=manifest)


def generated() -> Image:
    """A picture of blurred blots, (480, 640, 3) uint8, the same everywhere."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3)).astype(np.uint8)
    return np.asarray(np.repeat(np.repeat(noise, 40, 0), 40, 1), np.uint8)


def read_picture(path: Path) -> Image:
    """A picture for a golden sample.

    Raises:
        ModelError: Not a picture.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ModelError(f"{path} is not a picture that OpenCV can read")
    return np.asarray(image, np.uint8)


def generated_readings(spec: WindowInput) -> Floats:
    """Waves and noise, (T, C) float32, of some windows; the same everywhere."""
    rows = spec.length * max(_WINDOWS, min(_MOST_WINDOWS, _ROWS // spec.length))
    rng = np.random.default_rng(0)
    count = len(spec.channels)
    turns = rng.uniform(4, 40, count) / rows
    waves = np.sin(2 * np.pi * (np.arange(rows)[:, None] * turns + rng.uniform(0, 1, count)))
    values = waves + 0.3 * rng.standard_normal((rows, count))
    step = spec.steps[0] if spec.steps else None
    if isinstance(step, Normalize):
        values = (values * step.std + step.mean) / step.scale
    return np.asarray(values, np.float32)


def _samples(model: Model, path: Path, pictures: Sequence[Image]) -> list[GoldenSample]:
    spec = model.manifest.input
    if spec.kind == "image":
        if not spec.rate:
            return [_sample(model, picture) for picture in pictures or [generated()]]
        frames = np.stack([_placed(spec, picture) for picture in pictures or _drifting()])
        return [GoldenSample(frames, frames, _stream(model, map(model.finish_image, frames)))]
    if pictures:
        raise UsageError(f"--picture is for models of pictures; {path} takes readings")
    readings = generated_readings(spec)
    windows = readings.reshape(-1, spec.length, readings.shape[1])
    outputs = _stream(model, (model.preprocess(window)[0] for window in windows))
    return [GoldenSample(readings, None, outputs)]


def _stream(model: Model, tensors: Iterable[Floats]) -> dict[str, Floats]:
    """Outputs of one step after another, (S, ...) each; of one step as they are."""
    model.reset()
    steps = [{n: v.copy() for n, v in model.infer(tensor).items()} for tensor in tensors]
    if len(steps) == 1:
        return steps[0]
    return {name: np.concatenate([step[name] for step in steps]) for name in steps[0]}


def _drifting() -> list[Image]:
    """Frames of a picture that moves."""
    return [np.roll(generated(), (9 * i, 16 * i), (0, 1)) for i in range(_FRAMES)]


def _placed(spec: ImageInput, picture: Image) -> Image:
    check_image(picture)
    step = spec.steps[0]
    assert step.op != "normalize"
    return place(picture, step)


def _sample(model: Model, picture: Image) -> GoldenSample:
    spec = model.manifest.input
    assert spec.kind == "image"
    placed = _placed(spec, picture)
    return GoldenSample(picture, placed, _stream(model, [model.finish_image(placed)]))
