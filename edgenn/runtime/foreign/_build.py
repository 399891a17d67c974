"""From a foreign file to a manifest, with a reason for every line of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import edgenn
from edgenn import plugins
from edgenn.bundle.manifest import (
    Decode,
    ImageInput,
    Manifest,
    Precision,
    Provenance,
    State,
    Task,
    Variant,
)
from edgenn.errors import ModelError, UsageError
from edgenn.ops import decode
from edgenn.ops.decode import Fit, Foreign, Match
from edgenn.ops.preprocess import CenterCrop, Letterbox, Normalize, Placing, Resize
from edgenn.runtime import engines
from edgenn.runtime.foreign._file import MAX_ELEMENTS, Opened, open_file
from edgenn.runtime.foreign._inputs import Inputs, sort_inputs
from edgenn.runtime.foreign._labels import choose_labels, has_background
from edgenn.runtime.foreign._layouts import choose_layout
from edgenn.runtime.foreign._metadata import Said, read_metadata
from edgenn.runtime.foreign._wishes import SCALES, Wishes, scaling
from edgenn.types import Floats

MAX_CLASSES = 1 << 16
# Codes that an 8-bit input may be off by rounding, and that a picture must take up at least.
_NEAR, _LEAST_CODES = 4, 64


@dataclass(frozen=True)
class Described:
    """A foreign file with the manifest that makes it a model.

    Attributes:
        manifest: With one variant, whose file is ``data``.
        data: The model file, weights beside it merged in.
        reasons: What was inferred and why, for the user to read.
        engine: The engine that it was tried on.
    """

    manifest: Manifest
    data: bytes
    reasons: tuple[str, ...]
    engine: engines.Engine


def describe(path: Path, wishes: Wishes, threads: int = 1) -> Described:
    """Find out what a foreign file is.

    Args:
        path: The file.
        wishes: What the user says of it.
        threads: Worker threads of its engine; 0 lets it choose.

    Raises:
        ModelError: Damaged, too large, or of a layout that is not known.
        UsageError: A wish that does not fit, or a question that a flag has to answer.
    """
    file = open_file(path, threads)
    said = read_metadata(file.extras)
    inputs = sort_inputs(file, wishes.size, said)
    samples = _try(file, inputs)
    memory = {output for output, _ in inputs.states.values()}
    known = wishes.labels or said.labels
    foreign = Foreign(
        dict(file.engine.inputs),
        {n: samples[0][n].shape for n in file.engine.outputs if n not in memory},
        inputs.size,
        len(known),
        said.metadata,
        has_background(known),
    )
    layout, match = choose_layout(foreign, wishes.layout, path)
    if not 0 < match.classes <= MAX_CLASSES:
        raise ModelError(f"{path}: {match.classes} classes are out of 1..{MAX_CLASSES}")
    reasons = [*inputs.reasons, f"layout {layout}: {match.why}"]
    plugin = plugins.load(decode, layout)
    if hasattr(plugin, "settle"):
        named = [{k: sample[v] for k, v in match.outputs.items()} for sample in samples]
        match, why = plugin.settle(match, named)
        reasons.append(f"{' '.join(f'{k} {v}' for k, v in match.params.items())}: {why}")
    labels, where = choose_labels(wishes.labels, said, match.classes, layout, match.labels)
    reasons.append(f"{len(labels)} labels: {where}")
    normalize, why = _scale(file, inputs, match, said, wishes)
    reasons.append(f"normalisation (x - {normalize.mean}) / {normalize.std}: {why}")
    color = wishes.color or match.color
    reasons.append(f"colour {color}: {'--input-order' if wishes.color else f'usual of {layout}'}")
    fit = wishes.fit or match.fit
    placing = _placing(fit, match.pad, inputs.size)
    reasons.append(f"fit {fit}: {'--fit' if wishes.fit else f'usual of {layout}'}")
    thresholds = {"conf": wishes.conf, "iou": wishes.iou, "activation": wishes.activation}
    params = {**match.params, **{k: v for k, v in thresholds.items() if v is not None}}
    task: Task = "classify" if layout == "classes" else "detect"
    precision = _precision(file)
    variant = Variant(
        file=f"model.{precision}{path.suffix}",
        engine=file.engine_name,
        precision=precision,
        layout=inputs.layout,
        tensors={
            "image": inputs.picture,
            **match.outputs,
            **{f"state_in.{n}": n for n in inputs.states},
            **{f"state_out.{n}": o for n, (o, _) in inputs.states.items()},
        },
        constants=dict(inputs.constants),
    )
    manifest = Manifest(
        name=wishes.name or path.stem,
        task=task,
        labels=labels,
        input=ImageInput(size=inputs.size, color=color, steps=(placing, normalize)),
        outputs=tuple(match.outputs),
        decode=Decode(name=layout, params=params),
        state=tuple(
            State(input=f"state_in.{n}", output=f"state_out.{n}", shape=shape)
            for n, (_, shape) in inputs.states.items()
        ),
        variants=(variant,),
        provenance=Provenance(edgenn=edgenn.__version__, foreign=True),
    )
    # Parameters that do not fit are an error now, not at the first picture.
    plugin.build(params, labels, inputs.size)
    return Described(manifest, file.data, tuple(reasons), file.engine)


def _try(file: Opened, inputs: Inputs) -> list[Mapping[str, Floats]]:
    """Run it on noise: gives the shapes that it leaves free, and shows that it runs at all."""
    engine = file.engine
    planar = inputs.layout == "nchw"
    shape = (1, 3, *inputs.size) if planar else (1, *inputs.size, 3)
    is_free = -1 in engine.inputs[inputs.picture][1:]
    feeds = {n: np.zeros(s, np.float32) for n, (_, s) in inputs.states.items()}
    for name, c in inputs.constants.items():
        feeds[name] = np.asarray(c.values, np.float32).reshape(c.shape)
    engine.fix({inputs.picture: shape, **{n: v.shape for n, v in feeds.items()}})
    mean, std = engine.pixels.get(inputs.picture, (0.0, 255.0))
    samples: list[Mapping[str, Floats]] = []
    for seed in range(3):
        noise = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)
        try:
            found = engine.run({**feeds, inputs.picture: (noise - mean) / std})
        except ModelError as error:
            size = f"{inputs.size[0]},{inputs.size[1]}"
            hint = f"at --imgsz {size}, which it leaves open; try another: " if is_free else ""
            raise ModelError(f"{file.path}: {hint}{error}") from error
        for name, value in found.items():
            if value.size > MAX_ELEMENTS:
                raise ModelError(f"{file.path}: its output {name!r} is {value.shape}: refused")
        samples.append({name: value.copy() for name, value in found.items()})
    return samples


def _scale(
    file: Opened, inputs: Inputs, match: Match, said: Said, wishes: Wishes
) -> tuple[Normalize, str]:
    pixels = file.engine.pixels.get(inputs.picture)
    if wishes.normalize:
        mean, std = scaling(wishes.normalize)
        return Normalize(mean, std), "--normalize"
    written = _written(file)
    if pixels is not None and not (written and _differs(pixels, written)):
        return Normalize((pixels[0],) * 3, (pixels[1],) * 3), "the scale of its 8-bit input"
    if pixels is None and file.engine.dtypes[inputs.picture] == "uint8":
        return Normalize(*SCALES["0..255"]), "its input is uint8"
    if written:
        return written, "its TFLite metadata"
    if said.is_ultralytics:
        return Normalize(*SCALES["0..1"]), "the metadata of its toolkit"
    if match.mean is not None and match.std is not None:
        return Normalize(match.mean, match.std), "usual of this layout"
    raise UsageError(
        f"{file.path} does not say how its pixels are scaled: give --normalize "
        f"{', '.join(SCALES)} or mean,mean,mean:std,std,std"
    )


def _written(file: Opened) -> Normalize | None:
    if file.extras.scaling is None:
        return None
    mean, std = (v * 3 if len(v) == 1 else v for v in file.extras.scaling)
    return Normalize(mean, std) if len(mean) == len(std) == 3 else None


def _differs(pixels: tuple[float, float], written: Normalize) -> bool:
    """Whether the metadata put pixels on other codes of an 8-bit input than themselves.

    Most files scale their input so that a pixel is its own code, and some of them carry
    metadata meant for the file before it was quantised, with which most codes saturate.
    """
    mean, std = pixels
    first, last = ((x - written.mean[0]) / written.std[0] * std + mean for x in (0, 255))
    fits = first >= -_NEAR and last <= 255 + _NEAR and last - first >= _LEAST_CODES
    return fits and (first > _NEAR or last < 255 - _NEAR)


def _placing(fit: Fit, pad: int, size: tuple[int, int]) -> Placing:
    if fit == "stretch":
        return Resize(size, shrink="linear")
    if fit == "crop":
        return CenterCrop(size, shrink="linear")
    if fit == "letterbox-start":
        return Letterbox(size, pad=pad, align="start", shrink="linear")
    return Letterbox(size, pad=pad, shrink="linear")


def _precision(file: Opened) -> Precision:
    kinds = set(file.engine.dtypes.values())
    return "int8" if kinds & {"int8", "uint8"} else "fp16" if "float16" in kinds else "fp32"


__all__ = ["Described", "describe"]
