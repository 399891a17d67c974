"""Makes tests/assets/tiny-*.edgenn: bundles of a few kB with weights set by hand, not trained.

    python tests/light/make_tiny.py

needs the training extra; the bundles need only the light install, so they are
committed. Each has float32 and int8 files for both engines, golden samples,
and an answer that can be worked out on paper:

- tiny-detect: 64x64 RGB, letterbox. Finds squares that fill a cell of the net's grid of
  8x8 pixels and differ from the cells around, "red" or "blue".
- tiny-classify: 32x32 RGB, stretched. "red", "green" or "blue", by the mean colour.
- tiny-sequence: windows of 20 readings x 2 channels ("x", "y") at 20 Hz, stride 5.
  "low", "middle" or "high": the mean of x lies below -1, between, or above 1.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

import edgenn
from edgenn import plugins
from edgenn.bundle.manifest import (
    Decode,
    Golden,
    ImageInput,
    Manifest,
    Provenance,
    Tolerance,
    Variant,
    WindowInput,
)
from edgenn.bundle.store import write_bundle
from edgenn.export import formats
from edgenn.ops.preprocess import (
    ImagePreprocessor,
    Letterbox,
    Normalize,
    Resize,
    WindowPreprocessor,
    place,
)
from edgenn.runtime.golden import GoldenSample, compare, pack
from edgenn.runtime.model import Model

OUT = Path(__file__).resolve().parents[1] / "assets"
UNIT = Normalize(mean=(0.0, 0.0, 0.0), std=(255.0, 255.0, 255.0))
BGR = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


class Squares(nn.Module):
    """A matched filter: colour contrast of a cell, less that of the ring of cells around it."""

    def __init__(self) -> None:
        super().__init__()
        self.shrink = nn.AvgPool2d(8)
        self.scores = nn.Conv2d(3, 2, 3, padding=1)
        self.boxes = nn.Conv2d(3, 4, 1)
        contrast = torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]])
        shape = torch.full((3, 3), -1 / 8)
        shape[1, 1] = 1
        with torch.no_grad():
            self.scores.weight.copy_(12 * contrast[:, :, None, None] * shape)
            self.scores.bias.fill_(-6)
            self.boxes.weight.fill_(0.01)  # nothing but zeros would have no int8 scale
            self.boxes.bias.fill_(0.495)  # about half a stride to each side: 8x8

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.shrink(x)
        boxes, scores = self.boxes(x), self.scores(x)
        return boxes.flatten(2).transpose(1, 2), scores.flatten(2).transpose(1, 2)


class MeanColour(nn.Module):
    """Each logit is its colour's mean less that of the others."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(32)
        self.logits = nn.Linear(3, 3)
        with torch.no_grad():
            self.logits.weight.copy_(8 * (1.5 * torch.eye(3) - 0.5))
            self.logits.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(self.mean(x).flatten(1))


class MeanOfX(nn.Module):
    """Low and high win over a constant when the mean passes half a standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.logits = nn.Linear(2, 3)
        with torch.no_grad():
            self.logits.weight.copy_(torch.tensor([[-8.0, 0.0], [0.0, 0.0], [8.0, 0.0]]))
            self.logits.bias.copy_(torch.tensor([-4.0, 0.0, -4.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits(x.mean(1))


def squares(seed: int) -> np.ndarray:
    """(96, 128, 3) BGR: one red and one blue square on dark grey; net pixels are frame / 2."""
    image = np.full((96, 128, 3), 10 * (seed % 5), np.uint8)
    for name, column in (("red", seed % 3), ("blue", 4 + seed % 3)):
        x, y = 16 * column, 16 * (seed % 4)
        image[y : y + 16, x : x + 16] = BGR[name]
    return image


def colours(seed: int) -> np.ndarray:
    """(40, 50, 3) BGR: one colour on top, a grey below that leaves it the winner."""
    image = np.full((40, 50, 3), 20 + 30 * (seed % 5), np.uint8)
    image[:25] = list(BGR.values())[seed % 3]
    return image


def readings(seed: int) -> np.ndarray:
    """(20, 2) float32 with x around -3, 0 or 3."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 0.3, (20, 2))
    values[:, 0] += 3 * (seed % 3 - 1)
    return values.astype(np.float32)


def manifest(name: str, task: str, labels: tuple[str, ...], **rest: object) -> Manifest:
    provenance = Provenance(edgenn=edgenn.__version__, licence="Apache-2.0", data="none: by hand")
    return Manifest(name=name, task=task, labels=labels, provenance=provenance, **rest)


MODELS = {
    "tiny-detect": (
        Squares(),
        squares,
        manifest(
            "tiny-detect",
            "detect",
            ("red", "blue"),
            input=ImageInput(size=(64, 64), steps=(Letterbox((64, 64)), UNIT)),
            outputs=("boxes", "scores"),
            decode=Decode(name="ltrb", params={"strides": [8], "conf": 0.5}),
        ),
    ),
    "tiny-classify": (
        MeanColour(),
        colours,
        manifest(
            "tiny-classify",
            "classify",
            ("red", "green", "blue"),
            input=ImageInput(size=(32, 32), steps=(Resize((32, 32)), UNIT)),
            outputs=("logits",),
            decode=Decode(name="classes"),
        ),
    ),
    "tiny-sequence": (
        MeanOfX(),
        readings,
        manifest(
            "tiny-sequence",
            "sequence",
            ("low", "middle", "high"),
            input=WindowInput(
                length=20,
                stride=5,
                rate=20,
                channels=("x", "y"),
                units=("g", "g"),
                steps=(Normalize(mean=(0.0, 0.0), std=(2.0, 1.0)),),
            ),
            outputs=("logits",),
            decode=Decode(name="classes"),
            temporal={"smoothing": {"alpha": 0.6}},
        ),
    ),
}


def prepare(spec: ImageInput | WindowInput, raw: np.ndarray) -> np.ndarray:
    """The net's input as torch takes it."""
    if isinstance(spec, ImageInput):
        return ImagePreprocessor(spec.steps, spec.color, "nchw")(raw)[0].copy()
    return WindowPreprocessor(spec.steps, spec.length, len(spec.channels))(raw).copy()


def sample(net: nn.Module, plain: Manifest, raw: np.ndarray) -> GoldenSample:
    """One input with what the net in torch makes of it."""
    spec = plain.input
    with torch.no_grad():
        found = net(torch.from_numpy(prepare(spec, raw)))
    tensors = found if isinstance(found, tuple) else (found,)
    placed = place(raw, spec.steps[0]) if isinstance(spec, ImageInput) else None
    outputs = dict(zip(plain.outputs, (t.numpy() for t in tensors), strict=True))
    return GoldenSample(raw, placed, outputs)


def without_traces(data: bytes) -> bytes:
    """The exporter notes its call stack, with paths of this machine, in every node."""
    model = onnx.load_from_string(data)
    for node in model.graph.node:
        del node.metadata_props[:]
    return model.SerializeToString()


def files(
    net: nn.Module, plain: Manifest, inputs: list[np.ndarray], samples: list[GoldenSample]
) -> Iterator[tuple[Variant, bytes]]:
    """Every variant with its model file."""
    for kind in plugins.names(formats):
        form = plugins.load(formats, kind)
        fed = [
            np.moveaxis(x, 1, -1) if form.LAYOUT == "nhwc" and x.ndim == 4 else x for x in inputs
        ]
        names = formats.Names((plain.input.name,), plain.outputs)
        converted = form.convert(net, [inputs[0]], names, 18)
        if kind == "onnx":
            converted = without_traces(converted)
        quantised = form.int8(
            converted,
            [np.ascontiguousarray(x) for x in fed],
            recurrent=plain.task == "sequence",
            method="minmax",
        )
        for precision, data in (("fp32", converted), ("int8", quantised)):
            variant = Variant(
                file=f"model.{precision}.{kind}",
                engine=form.ENGINE,
                precision=precision,
                layout=form.LAYOUT,
                tensors=form.tensors(data, names),
            )
            worst, _, _ = compare(Model(plain, variant, data), samples)
            bounds = {name: round(2 * value + 1e-4, 4) for name, value in worst.items()}
            variant = variant.model_copy(
                update={"tolerance": Tolerance(max_abs=bounds, agreement=1.0)}
            )
            whole = form.embed(data, plain.model_copy(update={"variants": (variant,)}).to_json())
            digest = hashlib.sha256(whole).hexdigest()
            yield variant.model_copy(update={"sha256": digest, "size": len(whole)}), whole


def main() -> None:
    """Write all three."""
    for name, (net, raw, plain) in MODELS.items():
        net.eval()
        samples = [sample(net, plain, raw(seed)) for seed in range(3)]
        inputs = [prepare(plain.input, raw(seed)) for seed in range(24)]
        made = list(files(net, plain, inputs, samples))
        golden = pack(samples[:1])
        full = plain.model_copy(
            update={
                "variants": tuple(variant for variant, _ in made),
                "golden": Golden(
                    sha256=hashlib.sha256(golden).hexdigest(), size=len(golden), count=1
                ),
            }
        )
        contents = {variant.file: data for variant, data in made}
        write_bundle(full, {**contents, "golden.npz": golden}, OUT / f"{name}.edgenn")


if __name__ == "__main__":
    main()
