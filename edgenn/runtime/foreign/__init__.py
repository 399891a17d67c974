"""Models that edgenn did not write: what they are, from what the file says, as a manifest.

`describe` asks as little as possible: the layout is told by shapes and names (see
``recognise`` in `edgenn.ops.decode`), labels and size by metadata or attached files, scaling by
the codes of a quantised input or by what all models of a layout have in common. What is not
told is asked for, by the flag that settles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import edgenn
from edgenn.bundle.manifest import (
    Decode,
    ImageInput,
    Manifest,
    Precision,
    Provenance,
    Task,
    Variant,
)
from edgenn.errors import ModelError, UsageError
from edgenn.ops.decode import Foreign, Match
from edgenn.ops.preprocess import Crop, Letterbox, Normalize, Placing, Resize
from edgenn.runtime import engines
from edgenn.runtime.foreign._choose import choose
from edgenn.runtime.foreign._file import File, open_file
from edgenn.runtime.foreign._labels import read_labels, told, unpack, usual
from edgenn.runtime.foreign._wishes import SCALINGS, Wishes, scaling
from edgenn.runtime.model import Model, find, is_foreign

__all__ = ["Described", "Wishes", "describe", "load_any", "read_labels"]

_RANGES = {"0..1": (0, 1), "-1..1": (-1, 1), "0..255": (0, 255)}


@dataclass(frozen=True)
class Described:
    """A foreign file, understood.

    Attributes:
        manifest: What it is, with its one variant.
        data: The file, weights included.
        said: What was inferred and why, a line each.
        engine: The engine that it was tried on.
    """

    manifest: Manifest
    data: bytes
    said: tuple[str, ...]
    engine: engines.Engine

    def model(self, *, conf: float | None = None, iou: float | None = None) -> Model:
        """The model, on that engine; thresholds as for `edgenn.load`."""
        variant = self.manifest.variants[0]
        return Model(self.manifest, variant, self.data, conf=conf, iou=iou, engine=self.engine)


def describe(path: str | Path, wishes: Wishes | None = None, *, threads: int = 1) -> Described:
    """Find out what a foreign file is.

    Args:
        path: A .onnx or .tflite file.
        wishes: What the user says of it.
        threads: Worker threads of its engine; 0 lets it choose.

    Raises:
        ModelError: Missing, damaged, unsafe, or of no known layout.
        UsageError: Something is ambiguous; the message names the flag that settles it.
    """
    wishes = wishes or Wishes()
    file = open_file(Path(path), wishes.size, threads)
    metadata = unpack(file.opened.metadata)
    labels, where = (wishes.labels, "--labels") if wishes.labels else told(metadata)
    foreign = Foreign(
        inputs=file.opened.inputs,
        outputs=file.outputs,
        size=file.size,
        labels=len(labels),
        metadata=metadata,
    )
    name, match = choose(str(path), foreign, wishes.layout)
    if len(labels) != match.classes:
        labels, where = _other_labels(str(path), labels, match, bool(wishes.labels))
    normalize, scaled = _scaling(file, match, wishes)
    color = wishes.color or match.color
    placing = _placing(match, file.size)
    said = [
        f"layout {name}: {match.why}",
        f"labels: {_some(labels)} ({where})",
        f"input {file.picture}: {file.size[0]}x{file.size[1]} {file.layout}"
        + (f", {file.size_why}" if file.size_why else ""),
        f"preprocessing: {match.fit}, {color}, {scaled}",
    ]
    said += [f"state: {s.input} goes on from {s.output} {s.shape}" for s in file.states]
    said += [f"constant: {c.input} = {list(c.values)}" for c in file.constants]
    variant = Variant(
        file=f"model{file.path.suffix}",
        engine=file.engine,
        precision=_precision(file.opened.kinds[file.picture]),
        layout=file.layout,
        tensors=_tensors(file, match),
    )
    task: Task = "classify" if name == "classes" else "detect"
    manifest = Manifest(
        name=wishes.name or file.path.stem,
        task=task,
        labels=labels,
        input=ImageInput(name="image", size=file.size, color=color, steps=(placing, normalize)),
        outputs=tuple(match.outputs),
        decode=Decode(name=name, params={**match.params, **wishes.params}),
        state=file.states,
        constants=file.constants,
        variants=(variant,),
        provenance=Provenance(
            edgenn=edgenn.__version__,
            licence=metadata.get("license", metadata.get("licence", ""))[:200],
            data=f"imported from {file.path.name}",
        ),
    )
    return Described(manifest, file.data, tuple(said), file.opened)


def load_any(path: str | Path, labels: tuple[str, ...] = (), *, conf: float | None = None) -> Model:
    """Load a model that edgenn wrote, or a foreign one.

    Args:
        path: As for `edgenn.load`.
        labels: Class names of a foreign model that does not carry them.
        conf: Confidence threshold, 0..1; None keeps the model's own.

    Raises:
        ModelError: Missing, damaged, or of a layout that is not known.
        UsageError: It is ambiguous what the model is.
    """
    if not is_foreign(Path(path)):
        return Model(*find(path), conf=conf)
    return describe(path, Wishes(labels=labels)).model(conf=conf)


def _other_labels(
    path: str, labels: tuple[str, ...], match: Match, asked: bool
) -> tuple[tuple[str, ...], str]:
    """Names where the file's own do not fit."""
    if asked:
        raise UsageError(
            f"{path} tells {match.classes} classes apart, but --labels names {len(labels)}"
        )
    if len(match.labels) == match.classes:
        return match.labels, "those of its layout"
    known, where = usual(match.classes)
    if known:
        return known, where
    numbers = tuple(f"class {i}" for i in range(match.classes))
    return numbers, "nothing names them; --labels FILE does"


def _scaling(file: File, match: Match, wishes: Wishes) -> tuple[Normalize, str]:
    """The normalisation and why; the codes of a quantised input say it best."""
    if wishes.normalize:
        return scaling(wishes.normalize), f"{wishes.normalize} as --normalize says"
    kind = file.opened.kinds[file.picture]
    if kind.scale:
        low, high = ((code - kind.zero) * kind.scale for code in _codes(kind.dtype))
        for name, (lowest, highest) in {
            "0..1": (0, 1),
            "-1..1": (-1, 1),
            "0..255": (0, 255),
        }.items():
            slack = 0.03 * (highest - lowest)
            if abs(low - lowest) < slack and abs(high - highest) < slack:
                return scaling(name), f"{name}, which its codes reach from {low:.3g} to {high:.3g}"
        if match.mean is None:
            raise UsageError(
                f"{file.path} takes codes that mean {low:.3g} to {high:.3g}: say how pictures are "
                f"scaled to that with --normalize, such as {', '.join(SCALINGS)}"
            )
    elif kind.dtype == "uint8":
        return scaling("0..255"), "0..255, as it takes bytes"
    if match.mean is None or match.std is None:
        raise UsageError(
            f"nothing says how {file.path} wants pictures scaled: say --normalize "
            f"{', '.join(SCALINGS)}, or mean/std on 0..255"
        )
    return Normalize(match.mean, match.std), f"mean {match.mean} std {match.std}, as its layout has"


def _codes(dtype: str) -> tuple[int, int]:
    return {"uint8": (0, 255), "int8": (-128, 127)}.get(dtype, (0, 0))


def _placing(match: Match, size: tuple[int, int]) -> Placing:
    """How pictures are brought to size; most other toolkits shrink with four pixels."""
    if match.fit == "stretch":
        return Resize(size, shrink="linear")
    if match.fit == "crop":
        return Crop(size, shrink="linear")
    align: Literal["center", "start"] = "start" if match.fit == "letterbox-start" else "center"
    return Letterbox(size, pad=match.pad, align=align, shrink="linear")


def _tensors(file: File, match: Match) -> dict[str, str]:
    """The manifest's names to those of the file; states and constants keep theirs."""
    own = {name: name for s in file.states for name in (s.input, s.output)}
    own |= {c.input: c.input for c in file.constants}
    taken = {"image": file.picture, **match.outputs}
    if clash := own.keys() & taken.keys():
        raise ModelError(f"{file.path}: the tensors {sorted(clash)} have names that are in use")
    return {**own, **taken}


def _precision(kind: engines.Tensor) -> Precision:
    if kind.dtype in ("int8", "uint8") and kind.scale:
        return "int8"
    return "fp16" if kind.dtype == "float16" else "fp32"


def _some(labels: tuple[str, ...]) -> str:
    shown = ", ".join(labels[:4])
    return f"{shown}, ... {len(labels)} in all" if len(labels) > 4 else shown
