"""Golden samples: real inputs and the outputs that the trained network gave for them.

Replaying them proves, with numpy and an engine alone, that this device
computes what was trained: preprocessing, raw outputs and decisions are
compared one by one, each with its own bound.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from edgenn.bundle.manifest import EngineName, Manifest, Precision, Variant
from edgenn.bundle.store import Bundle, open_bundle
from edgenn.errors import BundleError, MissingExtraError, ModelError, UsageError
from edgenn.ops.boxes import iou
from edgenn.ops.preprocess import Geometry, geometry, place
from edgenn.runtime.engines._providers import Provider
from edgenn.runtime.files import installed, on_gpu, read_bare, resolve
from edgenn.runtime.model import Model
from edgenn.types import Detections, Floats, Image, Prediction

Pair = tuple[Mapping[str, Floats], Mapping[str, Floats]]
MAX_UNPACKED = 512 << 20
# OpenCV's resize differs by a grey level here and there between processors and versions; another
# interpolation, colour order or padding differs by far more.
MAX_MEAN_LEVELS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class GoldenSample:
    """One input with what the trained network made of it.

    Attributes:
        raw: (H, W, 3) uint8 BGR picture, (T, C) float32 readings, or the frames of a clip
            after the size step.
        placed: The picture after the size step, (h, w, 3) uint8 BGR, or (T, h, w, 3)
            frames of a clip; None for readings.
        outputs: Raw outputs of the trained network, by name: (1, ...), or (S, ...) for
            the S steps of a recording.
    """

    raw: Image | Floats
    placed: Image | None
    outputs: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Check:
    """What replaying the samples through one variant showed.

    Attributes:
        variant: The model file.
        status: "pass", "fail", or "skipped" where its engine is not installed.
        reason: What failed, or why it was skipped.
        max_abs: Largest difference of each raw output.
        agreement: Share of decisions equal to the trained network's, 0..1.
        preprocess: Largest mean difference of a prepared picture, in grey levels.
    """

    variant: Variant
    status: Literal["pass", "fail", "skipped"]
    reason: str = ""
    max_abs: Mapping[str, float] | None = None
    agreement: float = 0.0
    preprocess: float = 0.0


def pack(samples: Sequence[GoldenSample]) -> bytes:
    """The samples as an npz file without any object in it; pictures as lossless PNG."""
    arrays: dict[str, np.ndarray] = {}
    for i, sample in enumerate(samples):
        if sample.placed is None:
            arrays[f"raw_{i}"] = sample.raw
        elif sample.placed.ndim == 4:  # frames, one below the other
            arrays[f"placed_{i}"] = _png(sample.placed.reshape(-1, *sample.placed.shape[2:]))
        else:
            arrays[f"raw_{i}"] = _png(np.asarray(sample.raw, np.uint8))
            arrays[f"placed_{i}"] = _png(sample.placed)
        for name, value in sample.outputs.items():
            arrays[f"out_{i}_{name}"] = value
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]  # keywords are all arrays
    return buffer.getvalue()


def unpack(data: bytes, manifest: Manifest, where: str) -> list[GoldenSample]:
    """Read what `pack` wrote.

    Raises:
        BundleError: Damaged, too large, or without the samples that the manifest promises.
    """
    assert manifest.golden is not None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(info.file_size for info in archive.infolist()) > MAX_UNPACKED:
                raise BundleError(f"{where}: the golden samples are too large to be real")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return [_sample(arrays, i, manifest) for i in range(manifest.golden.count)]
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, cv2.error) as error:
        raise BundleError(f"{where}: the golden samples cannot be read: {error}") from error


def compare(model: Model, samples: Sequence[GoldenSample]) -> tuple[dict[str, float], float, float]:
    """Replay samples through a model.

    Returns:
        Largest difference of each raw output; mean agreement of decisions,
        0..1; largest mean difference of a prepared picture in grey levels.
    """
    worst = dict.fromkeys(model.manifest.outputs, 0.0)
    agreements, levels = [], [0.0]
    for sample in samples:
        pairs, shift = _replay(model, sample)
        levels.append(shift)
        where = _geometry(model, sample)
        for expected, got in pairs:
            for name in worst:
                worst[name] = max(worst[name], _apart(got[name], expected[name]))
            agreements.append(agreement(model.decode(expected, where), model.decode(got, where)))
    return worst, float(np.mean(agreements)), max(levels)


def _apart(got: Floats, expected: Floats) -> float:
    """Largest difference; of a file that gives what it finds, none where neither finds any."""
    if got.shape != expected.shape:
        return float("inf")
    # A NaN must count as the largest of all differences, and max() would lose it.
    return float(np.nan_to_num(np.abs(got - expected), nan=np.inf).max(initial=0))


def agreement(a: Prediction, b: Prediction) -> float:
    """Share of equal decisions of two predictions, 0..1.

    Detections agree when boxes of one class overlap by half or more; the
    share is twice the matches over all boxes of both. Classifications agree
    when the best class is the same.
    """
    if not isinstance(a, Detections) or not isinstance(b, Detections):
        assert not isinstance(a, Detections)
        assert not isinstance(b, Detections)
        return float(a.class_id == b.class_id)
    if not len(a) and not len(b):
        return 1.0
    same = (iou(a.boxes, b.boxes) >= 0.5) & (a.class_ids[:, None] == b.class_ids[None, :])
    free = np.ones(len(b), bool)
    matches = 0
    for row in same:  # best score first, each box of b at most once
        hits = np.flatnonzero(row & free)
        if len(hits):
            free[hits[0]] = False
            matches += 1
    return 2 * matches / (len(a) + len(b))


def verify(
    path: str | Path,
    *,
    engine: EngineName | Literal["auto"] = "auto",
    precision: Precision | None = None,
    threads: int = 0,
    provider: Provider = "auto",
    half: bool = False,
) -> list[Check]:
    """Replay a bundle's golden samples through each of its variants on this machine.

    Args:
        path: Bundle, or name of a built-in model.
        engine: Only variants of this engine; "auto" takes all.
        precision: Only variants of this precision; None takes all.
        threads: Worker threads of the engine; 0 lets it choose.
        provider: Where ONNX Runtime computes; see `edgenn.load`. "cuda" and "tensorrt" leave
            out the variants of other engines.
        half: TensorRT may compute in fp16.

    Raises:
        BundleError: Damaged, or without golden samples.
        UsageError: No variant fits, or the path is a bare model file.
        MissingExtraError: Not one of the variants has its engine installed.
    """
    found = resolve(path)
    if found.is_file() and found.suffix in (".onnx", ".tflite"):
        read_bare(found)  # a file that is broken in itself says so first
        raise UsageError(f"{found} is a bare model file without golden samples; verify its bundle")
    bundle = open_bundle(found)
    engine, _ = on_gpu(provider, engine, precision)
    variants = _chosen(bundle, engine, precision)
    if not variants:
        raise UsageError(f"{bundle.path} has no variant of that engine and precision")
    wishes: dict[str, Any] = {"threads": threads, "provider": provider, "half": half}
    checks = _check_all(bundle, variants, **wishes)
    for member in bundle.manifest.members:
        inner = bundle.member(member)
        checks += [
            replace(
                c, variant=c.variant.model_copy(update={"file": f"{member.file}/{c.variant.file}"})
            )
            for c in _check_all(inner, _chosen(inner, engine, precision), **wishes)
        ]
    if all(check.status == "skipped" for check in checks):
        raise MissingExtraError(f"no engine for {bundle.path} is here: {checks[0].reason}")
    return checks


def _chosen(
    bundle: Bundle, engine: EngineName | Literal["auto"], precision: Precision | None
) -> list[Variant]:
    return [
        v
        for v in bundle.manifest.variants
        if engine in ("auto", v.engine) and precision in (None, v.precision)
    ]


def _check_all(
    bundle: Bundle,
    variants: Sequence[Variant],
    **wishes: Any,  # noqa: ANN401  Model's own
) -> list[Check]:
    manifest = bundle.manifest
    if manifest.golden is None:
        raise BundleError(f"{bundle.path} has no golden samples; export it again")
    samples = unpack(bundle.read(manifest.golden.file), manifest, str(bundle.path))
    return [_check(bundle, variant, samples, **wishes) for variant in variants]


def _check(
    bundle: Bundle,
    variant: Variant,
    samples: Sequence[GoldenSample],
    **wishes: Any,  # noqa: ANN401  Model's own
) -> Check:
    if variant.engine not in installed():
        reason = f"engine not installed: pip install 'edgenn[{variant.engine}]'"
        return Check(variant, "skipped", reason)
    data = bundle.read(variant.file)  # a changed file is no matter of parity: it raises
    try:
        model = Model(_as_exported(bundle.manifest), variant, data, **wishes)
        return _judge(variant, *compare(model, samples))
    except ModelError as error:
        return Check(variant, "fail", str(error))


def _as_exported(manifest: Manifest) -> Manifest:
    """The manifest with the thresholds that the tolerances were measured with.

    ``edgenn eval --write-conf`` changes what a user is shown, not what is computed.
    """
    return manifest.model_copy(update={"decode": manifest.decode.without_class_conf()})


def _judge(variant: Variant, worst: dict[str, float], agreed: float, levels: float) -> Check:
    bounds = variant.tolerance
    faults = []
    if levels > MAX_MEAN_LEVELS:
        faults.append(f"preprocessing is off by {levels:.2f} grey levels on average")
    if bounds is None:
        faults.append("the manifest has no tolerance for it")
    else:
        faults += [
            f"tensor {name!r} differs by {worst[name]:.3g}, allowed is {bounds.max_abs[name]:.3g}"
            for name in worst
            if worst[name] > bounds.max_abs.get(name, 0.0)
        ]
        if agreed < bounds.agreement:
            faults.append(f"decisions agree at {agreed:.3f}, wanted is {bounds.agreement:.3f}")
    return Check(variant, "fail" if faults else "pass", "; ".join(faults), worst, agreed, levels)


def _replay(model: Model, sample: GoldenSample) -> tuple[list[Pair], float]:
    """What is wanted and what comes, for every step, and the difference of the picture."""
    if sample.placed is None:
        return _steps(model, np.asarray(sample.raw, np.float32), sample.outputs), 0.0
    if sample.placed.ndim == 4:
        model.reset()
        tensors = map(model.finish_image, sample.placed)
        return _pairs(model, tensors, len(sample.placed), sample.outputs), 0.0
    # Raw outputs are judged on the stored picture, so that a grey level of difference in resizing
    # is not mistaken for a fault of the engine; resizing is judged on its own.
    spec = model.manifest.input
    assert spec.kind == "image"
    step = spec.steps[0]
    assert step.op != "normalize"
    placed = place(np.asarray(sample.raw, np.uint8), step)
    model.reset()
    shift = float(np.abs(placed.astype(np.int16) - sample.placed.astype(np.int16)).mean())
    return [(sample.outputs, model.infer(model.finish_image(sample.placed)))], shift


def _steps(model: Model, values: Floats, expected: Mapping[str, Floats]) -> list[Pair]:
    """The same for a recording, from its beginning."""
    spec = model.manifest.input
    assert spec.kind == "window"
    model.reset()
    starts = range(len(values) % spec.length, len(values), spec.length)
    tensors = (model.preprocess(values[start : start + spec.length])[0] for start in starts)
    return _pairs(model, tensors, len(starts), expected)


def _pairs(
    model: Model, tensors: Iterable[Floats], count: int, expected: Mapping[str, Floats]
) -> list[Pair]:
    """What is wanted of each of ``count`` inputs, and what comes."""
    if any(len(rows) != count for rows in expected.values()):
        raise ModelError("the golden outputs are not those of the golden recordings")
    pairs: list[Pair] = []
    for i, tensor in enumerate(tensors):
        got = {name: value.copy() for name, value in model.infer(tensor).items()}
        pairs.append(({name: rows[i : i + 1] for name, rows in expected.items()}, got))
    return pairs


def _geometry(model: Model, sample: GoldenSample) -> Geometry | None:
    spec = model.manifest.input
    if spec.kind != "image" or spec.rate:
        return None
    step = spec.steps[0]
    assert step.op != "normalize"
    return geometry(sample.raw.shape, step)


def _sample(arrays: Mapping[str, np.ndarray], i: int, manifest: Manifest) -> GoldenSample:
    outputs = {name: arrays[f"out_{i}_{name}"].astype(np.float32) for name in manifest.outputs}
    if manifest.input.kind == "image" and manifest.input.rate:
        frames = _picture(arrays[f"placed_{i}"]).reshape(-1, *manifest.input.size, 3)
        return GoldenSample(frames, frames, outputs)
    if manifest.input.kind == "image":
        return GoldenSample(_picture(arrays[f"raw_{i}"]), _picture(arrays[f"placed_{i}"]), outputs)
    return GoldenSample(arrays[f"raw_{i}"].astype(np.float32), None, outputs)


def _png(image: Image) -> np.ndarray:
    return cv2.imencode(".png", image)[1]


def _picture(data: np.ndarray) -> Image:
    image = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError("a picture in it is damaged")
    return np.asarray(image, np.uint8)
