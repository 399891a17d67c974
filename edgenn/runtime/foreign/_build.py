"""From a foreign file to a manifest, with a reason for every line of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
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
    WindowInput,
)
from edgenn.errors import ModelError, UsageError
from edgenn.ops import decode
from edgenn.ops.decode import Fit, Foreign, Match
from edgenn.ops.preprocess import CenterCrop, Color, Letterbox, Normalize, Placing, Resize
from edgenn.runtime import engines
from edgenn.runtime.foreign._file import MAX_ELEMENTS, Opened, open_file
from edgenn.runtime.foreign._inputs import Inputs, Picture, sort_inputs
from edgenn.runtime.foreign._labels import choose_labels, has_background
from edgenn.runtime.foreign._layouts import choose_layout, renamed, shown
from edgenn.runtime.foreign._memory import Memory, Tensors, find_memory
from edgenn.runtime.foreign._metadata import Said, read_metadata
from edgenn.runtime.foreign._pixels import is_usual
from edgenn.runtime.foreign._readings import Readings, window_input
from edgenn.runtime.foreign._wishes import Wishes, formula, scales, scaling, spread
from edgenn.types import Floats

MAX_CLASSES = 1 << 16
# Where the scaling is told, by the name of the input: that of Hugging Face.
_WHERE = {"pixel_values": "image_mean and image_std, times 255, are in preprocessor_config.json"}
# As the manifest has it.
_MAX_FPS = 1000


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


def describe(path: Path, wishes: Wishes, threads: int = 1, side: int = 0) -> Described:
    """Find out what a foreign file is.

    Args:
        path: The file.
        wishes: What the user says of it.
        threads: Worker threads of its engine; 0 lets it choose.
        side: Height and width, in pixels, where nothing says the size; 0: what is usual.

    Raises:
        ModelError: Damaged, too large, or of a layout that is not known.
        UsageError: A wish that does not fit, or a question that a flag has to answer.
    """
    file = open_file(path, threads)
    said = read_metadata(file.extras)
    said = replace(said, side=side or said.side)
    inputs = sort_inputs(file, wishes, said)
    main = inputs.main
    samples = _try(file, inputs)
    shapes = {name: samples[0][name].shape for name in file.engine.outputs}
    tensors = Tensors(path, inputs.asked, shapes, file.engine.dtypes)
    memory = find_memory(tensors, wishes.state)
    size = main.size if isinstance(main, Picture) else (0, 0)
    known = wishes.labels or said.labels
    foreign = Foreign(
        dict(file.engine.inputs),
        {n: s for n, s in shapes.items() if n not in memory.pairs.values()},
        size,
        len(known),
        said.metadata,
        has_background(known),
        file.engine.dtypes,
    )
    layout, match, reasons = _read_outputs(file, main, foreign, samples, wishes)
    if not side and _is_other_size(main, match, said):
        return describe(path, wishes, threads, match.side)
    labels, where = choose_labels(wishes.labels, said, match.classes, layout, match.labels)
    reasons.append(f"{len(labels)} label{'s' if len(labels) > 1 else ''}: {where}")
    task: Task
    spec: ImageInput | WindowInput
    if isinstance(inputs.main, Picture):
        task = "detect" if layout != "classes" else "sequence" if wishes.rate else "classify"
        rate, because = _frame_rate(file, layout, memory, wishes.rate)
        spec, why = _image_input(file, inputs.main, (layout, match), said, wishes)
        spec, why = spec.model_copy(update={"rate": rate}), [*why, *because]
    else:
        task = "sequence"
        spec, why = window_input(file, inputs.main, wishes, remembers=bool(memory.pairs))
    thresholds = {"conf": wishes.conf, "iou": wishes.iou, "activation": wishes.activation}
    params = {**match.params, **{k: v for k, v in thresholds.items() if v is not None}}
    variant = _variant(file, inputs, match, memory)
    manifest = Manifest(
        name=wishes.name or path.stem,
        task=task,
        labels=labels,
        input=spec,
        outputs=tuple(match.outputs),
        decode=Decode(name=layout, params=params),
        state=tuple(
            State(input=f"state_in.{n}", output=f"state_out.{n}", shape=inputs.asked[n])
            for n in memory.pairs
        ),
        temporal={"smoothing": {}} if task == "sequence" else {},
        variants=(variant,),
        provenance=Provenance(edgenn=edgenn.__version__, foreign=True),
    )
    # Parameters that do not fit are an error now, not at the first picture.
    plugins.load(decode, layout).build(params, labels, size if spec.kind == "image" else None)
    reasons = [*inputs.reasons, *memory.reasons, *reasons, *why]
    if task == "sequence":
        reasons.append("events by smoothing: as of models over time that edgenn trains")
    return Described(manifest, file.data, tuple(reasons), file.engine)


def _is_other_size(main: Picture | Readings, match: Match, said: Said) -> bool:
    """Whether nets of this layout have other pictures than was guessed."""
    return isinstance(main, Picture) and main.guessed and match.side != said.side


def _read_outputs(
    file: Opened,
    main: Picture | Readings,
    foreign: Foreign,
    samples: list[Mapping[str, Floats]],
    wishes: Wishes,
) -> tuple[str, Match, list[str]]:
    """How outputs are read: a layout's name, what it makes of the file, and why.

    Raises:
        ModelError: No layout fits.
        UsageError: A flag has to say which.
    """
    if isinstance(main, Picture):
        layout, match = choose_layout(foreign, wishes.layout, file.path, samples)
    else:
        layout, match = "classes", _of_readings(file, foreign, wishes.layout)
    if not 0 < match.classes <= MAX_CLASSES:
        raise ModelError(f"{file.path}: {match.classes} classes are out of 1..{MAX_CLASSES}")
    reasons = [f"layout {layout}: {match.why}"]
    plugin = plugins.load(decode, layout)
    if hasattr(plugin, "settle"):
        match, why = plugin.settle(match, renamed(match, samples), foreign.size)
        reasons.append(f"{' '.join(f'{k} {v}' for k, v in match.params.items())}: {why}")
    return layout, match, reasons


def _of_readings(file: Opened, foreign: Foreign, wanted: str) -> Match:
    """Models of readings are classifiers: what else a few numbers may be is in pictures."""
    if wanted not in ("", "classes"):
        raise UsageError(f"--as {wanted} is for pictures; models of readings are classifiers")
    match: Match | None = plugins.load(decode, "classes").recognise(foreign)
    if match is None:
        raise ModelError(
            f"{file.path}: takes readings and gives {shown(foreign.outputs)}; known are "
            "classifiers, which give (1, classes) beside their memory"
        )
    if not wanted and prod(foreign.outputs[match.outputs["logits"]]) == 1:
        raise UsageError(f"{file.path}: if it is a classifier, give --as classes ({match.why})")
    return match


def _image_input(
    file: Opened, main: Picture, found: tuple[str, Match], said: Said, wishes: Wishes
) -> tuple[ImageInput, list[str]]:
    layout, match = found
    if main.channels == 1 and match.fit == "crop":
        # Digits and faces fill their pictures; to cut the middle out is ImageNet's habit.
        match = replace(match, fit="stretch")
    normalize, why = _scale(file, main, match, said, wishes)
    reasons = [f"normalisation {formula(normalize.mean, normalize.std)}: {why}"]
    color: Color = "gray" if main.channels == 1 else wishes.color or match.color
    why = "--input-order" if wishes.color else f"usual of {layout}"
    reasons.append(f"colour {color}: {'its one channel' if color == 'gray' else why}")
    fit = wishes.fit or match.fit
    placing = _placing(fit, match.pad, main.size)
    usual = f"grey {layout}" if color == "gray" else layout
    reasons.append(f"fit {fit}: {'--fit' if wishes.fit else f'usual of {usual}'}")
    return ImageInput(size=main.size, color=color, steps=(placing, normalize)), reasons


def _frame_rate(
    file: Opened, layout: str, memory: Memory, wanted: float | None
) -> tuple[float, list[str]]:
    """Frames a second that a net over video takes, 0 where the user does not say."""
    if wanted is not None and not (memory.pairs and layout == "classes" and wanted <= _MAX_FPS):
        raise UsageError(
            f"--rate {wanted:g} is for readings, and for classifiers that remember the pictures "
            f"before, up to {_MAX_FPS} a second; {file.path} takes pictures as they come"
        )
    if wanted is not None:
        return wanted, [f"{wanted:g} pictures a second: --rate"]
    why = "each picture is a step; --rate says how many a second the net takes"
    return 0.0, [why] if memory.pairs and layout == "classes" else []


def _variant(file: Opened, inputs: Inputs, match: Match, memory: Memory) -> Variant:
    precision = _precision(file)
    main = inputs.main
    return Variant(
        file=f"model.{precision}{file.path.suffix.lower()}",
        engine=file.engine_name,
        precision=precision,
        layout=main.layout,
        tensors={
            "image" if isinstance(main, Picture) else "window": main.name,
            **match.outputs,
            **{f"state_in.{n}": n for n in memory.pairs},
            **{f"state_out.{n}": o for n, o in memory.pairs.items()},
        },
        constants=dict(inputs.constants),
    )


def _try(file: Opened, inputs: Inputs) -> list[Mapping[str, Floats]]:
    """Run it on noise: gives the shapes that it leaves free, and shows that it runs at all."""
    engine, main = file.engine, inputs.main
    hint = ""
    if isinstance(main, Picture) and -1 in engine.inputs[main.name][1:]:
        height, width = main.size
        hint = f"at --imgsz {height},{width}, which it leaves open; try another: "
    feeds = {n: np.zeros(s, np.float32) for n, s in inputs.asked.items()}
    for name, c in inputs.constants.items():
        feeds[name] = np.asarray(c.values, np.float32).reshape(c.shape)
    engine.fix({main.name: main.shape, **{n: v.shape for n, v in feeds.items()}})
    mean, std = engine.pixels.get(main.name, (0.0, 255.0))
    samples: list[Mapping[str, Floats]] = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        if isinstance(main, Picture):
            noise = (rng.integers(0, 256, main.shape).astype(np.float32) - mean) / std
        else:
            noise = rng.standard_normal(main.shape, np.float32)
        try:
            found = engine.run({**feeds, main.name: noise})
        except ModelError as error:
            raise ModelError(f"{file.path}: {hint}{error}") from error
        for name, value in found.items():
            if value.size > MAX_ELEMENTS:
                raise ModelError(f"{file.path}: its output {name!r} is {value.shape}: refused")
        samples.append({name: value.copy() for name, value in found.items()})
    return samples


def _scale(
    file: Opened, main: Picture, match: Match, said: Said, wishes: Wishes
) -> tuple[Normalize, str]:
    count = main.channels
    pixels = file.engine.pixels.get(main.name)
    if wishes.normalize:
        return scaling(wishes.normalize, count), "--normalize"
    if pixels is not None and is_usual(pixels):
        return Normalize((pixels[0],) * count, (pixels[1],) * count), "the scale of its 8-bit input"
    if pixels is None and file.engine.dtypes[main.name] == "uint8":
        return scaling("0..255", count), "its input is uint8"
    if (said_of_it := file.scaling_of(main.name)) is not None:
        mean, std = (spread(v, count) for v in said_of_it)
        if len(mean) == len(std) == count:
            return Normalize(mean, std), "its TFLite metadata"
    if said.is_ultralytics:
        return scaling("0..1", count), "the metadata of its toolkit"
    if (usual := _usual(match, count)) is not None:
        return usual, "usual of this layout"
    raise UsageError(
        f"{file.path} does not say how its pixels are scaled: give --normalize {scales(count)}; "
        + _WHERE.get(main.name, "see where it was trained")
    )


def _usual(match: Match, channels: int) -> Normalize | None:
    """The scaling of a layout, for grey too where it is that of every channel."""
    if match.mean is None or match.std is None:
        return None
    alike = len({*match.mean}) == len({*match.std}) == 1
    if channels != len(match.mean) and not alike:
        return None
    return Normalize(match.mean[:channels], match.std[:channels])


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
