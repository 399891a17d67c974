"""Choosing golden samples and computing what the trained network makes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from edgenn.bundle.manifest import ImageInput, Tolerance, Variant, WindowInput
from edgenn.data import Dataset, Recording
from edgenn.data.feed import Feed
from edgenn.errors import DataError
from edgenn.export import clips
from edgenn.export.patterns import pattern
from edgenn.ops.preprocess import place
from edgenn.ops.video_path import video_path
from edgenn.recipe.load import expand
from edgenn.recipe.schema import Recipe
from edgenn.runtime.golden import GoldenSample
from edgenn.types import Floats, Image, Prediction, Steps

# How far a variant may differ on another processor than on this one: a factor on what was
# measured here, and a share of the output's range below which differences mean nothing.
_SLACK = {"fp32": (4.0, 1e-3), "fp16": (4.0, 1e-2), "int8": (2.0, 2e-2)}
_AGREEMENT_SLACK = {"fp32": 0.02, "fp16": 0.05, "int8": 0.1}
# Pictures looked at for each that is taken, when most may show nothing.
_POOL = 8
_PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def choose(
    recipe: Recipe, spec: ImageInput | WindowInput, dataset: Dataset, feed: Feed
) -> list[Image | Floats]:
    """Raw inputs for the golden samples, as ``export.golden`` of the recipe says.

    Detectors get more than are needed, for `telling` to choose from.

    Args:
        recipe: Says where from and how many.
        spec: The net's input.
        dataset: For the range of sensor readings.
        feed: The validation samples.

    Returns:
        Pictures (H, W, 3) uint8 BGR, no larger than one and a half times the
        net's input, windows (T, C) float32, or the first frames of clips
        (T, H, W, 3) uint8 BGR.

    Raises:
        DataError: The source is missing or holds too few samples.
    """
    golden = recipe.export.golden
    if isinstance(spec, ImageInput) and spec.rate:
        return clips.choose(recipe, spec, feed)
    wanted = golden.count * (_POOL if recipe.task == "detect" else 1)
    if golden.source == "val" and recipe.input.sample == "stream" and isinstance(spec, WindowInput):
        samples = _stretches(feed, spec.length, wanted)
    elif golden.source == "val":
        picks = np.linspace(0, len(feed) - 1, min(wanted, len(feed))).round().astype(int)
        samples = [feed.raw(int(i)) for i in picks]
    elif golden.source == "synthetic":
        samples = _synthetic(spec, dataset, wanted, recipe.seed)
    else:
        samples = _read(expand(golden.source, "export.golden.source"), golden.count, wanted)
    if isinstance(spec, ImageInput):
        samples = [_shrink(np.asarray(s, np.uint8), spec.size) for s in samples]
    return samples


def compute(
    raws: list[Image | Floats],
    spec: ImageInput | WindowInput,
    outputs: Callable[[Image | Floats], dict[str, Floats]],
) -> list[GoldenSample]:
    """Run the trained network on the raw inputs.

    Args:
        raws: What `choose` gave.
        spec: The net's input.
        outputs: Raw input to the raw outputs by name.
    """
    samples = []
    for raw in raws:
        placed = None
        if isinstance(spec, ImageInput) and spec.rate:
            placed = np.asarray(raw, np.uint8)
        elif isinstance(spec, ImageInput):
            step = spec.steps[0]
            assert step.op != "normalize"
            placed = place(np.asarray(raw, np.uint8), step)
        samples.append(GoldenSample(raw, placed, outputs(raw)))
    return samples


def telling(
    samples: list[GoldenSample], count: int, predict: Callable[[Image | Floats], Prediction | Steps]
) -> list[GoldenSample]:
    """The samples that say most, in their given order.

    A picture in which a detector finds nothing would not show that a variant
    finds nothing anywhere, so those with the surest detections are taken.
    """
    if len(samples) <= count:
        return samples
    best = [float(np.max(predict(sample.raw).scores, initial=0.0)) for sample in samples]
    order = np.argsort(-np.asarray(best), kind="stable")[:count]
    return [samples[i] for i in sorted(order)]


def tolerance(
    variant: Variant, worst: dict[str, float], agreed: float, samples: list[GoldenSample]
) -> Tolerance:
    """Bounds for a variant: what was measured here, with room for other processors."""
    factor, share = _SLACK[variant.precision]
    ranges = {name: max(float(np.ptp(s.outputs[name])) for s in samples) for name in worst}
    return Tolerance(
        max_abs={name: factor * worst[name] + share * ranges[name] for name in worst},
        agreement=max(0.0, agreed - _AGREEMENT_SLACK[variant.precision]),
    )


def _synthetic(
    spec: ImageInput | WindowInput, dataset: Dataset, count: int, seed: int
) -> list[Image | Floats]:
    """Smooth random patterns: no one's photo, yet with edges and tones of all sizes."""
    rng = np.random.default_rng(seed)
    if isinstance(spec, ImageInput):
        return [pattern(spec.size, rng) for _ in range(count)]
    readings = np.concatenate([r.values for r in dataset.train if isinstance(r, Recording)])
    mean, std = readings.mean(0), readings.std(0)
    time = np.arange(spec.length)[:, None] / spec.rate
    windows: list[Image | Floats] = []
    for _ in range(count):
        rates, phases = rng.uniform(0.2, 5, (2, len(mean)))
        wave = np.sin(2 * np.pi * (time * rates + phases)) + 0.1 * rng.standard_normal(
            (spec.length, len(mean))
        )
        windows.append(np.asarray(mean + std * wave, np.float32))
    return windows


def _stretches(feed: Feed, length: int, count: int) -> list[Image | Floats]:
    """Parts of streams, each from another place."""
    parts: list[Image | Floats] = []
    for i in range(count):
        stream = np.asarray(feed.raw(i % len(feed)), np.float32)
        start = (i + 1) * max(0, len(stream) - length) // (count + 1)
        parts.append(stream[start : start + length])
    return parts


def _read(path: Path, least: int, count: int) -> list[Image | Floats]:
    found: list[Image | Floats] = []
    if path.is_dir():
        files = sorted(f for f in path.iterdir() if f.suffix.lower() in _PICTURES)
        for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int):
            image = cv2.imread(str(files[i]), cv2.IMREAD_COLOR)
            if image is not None:
                found.append(np.asarray(image, np.uint8))
    elif path.suffix == ".npz" and path.is_file():
        with np.load(path, allow_pickle=False) as arrays:
            found = list(arrays["values"][:count].astype(np.float32))
    elif path.is_file():
        found = _frames(path, count)
    if len(found) < least:
        raise DataError(
            f"export.golden.source: {path} gives {len(found)} samples, {least} are wanted"
        )
    return found


def _frames(path: Path, count: int) -> list[Image | Floats]:
    video = cv2.VideoCapture(video_path(path))
    try:
        total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        wanted = set(np.linspace(0, max(0, total - 1), count + 2).astype(int)[1:-1].tolist())
        frames: list[Image | Floats] = []
        for i in range(total):
            good, frame = video.read()
            if not good:
                break
            if i in wanted:
                frames.append(np.asarray(frame, np.uint8))
        return frames
    finally:
        video.release()


def _shrink(image: Image, size: tuple[int, int]) -> Image:
    ratio = 1.5 * max(size) / max(image.shape[:2])
    if ratio >= 1:
        return image
    smaller = cv2.resize(image, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA)
    return np.asarray(smaller, np.uint8)
