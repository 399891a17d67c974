"""Models that edgenn did not write: what they are, from what the file says.

So far detectors in the layout of YOLOX, whose preprocessing is always the same:
BGR, 0 to 255, letterbox at the top left.
"""

from __future__ import annotations

from pathlib import Path

import edgenn
from edgenn import plugins
from edgenn.bundle.manifest import Decode, EngineName, ImageInput, Manifest, Provenance, Variant
from edgenn.bundle.store import refuse_impostor
from edgenn.errors import ModelError
from edgenn.ops.preprocess import Letterbox
from edgenn.runtime import engines
from edgenn.runtime.labels import COCO
from edgenn.runtime.model import Model, find

STRIDES = (8, 16, 32)


def load_any(path: str | Path, labels: tuple[str, ...] = (), *, conf: float | None = None) -> Model:
    """Load a model that edgenn wrote, or a foreign ONNX detector in the layout of YOLOX.

    Args:
        path: As for `edgenn.load`.
        labels: Class names of a foreign model; those of COCO where it has 80.
        conf: Confidence threshold, 0..1; None keeps the model's own.

    Raises:
        ModelError: Missing, damaged, or of a layout that is not known.
    """
    file = Path(path)
    if file.suffix != ".onnx" or not file.is_file():
        return Model(*find(path), conf=conf)
    data = file.read_bytes()
    refuse_impostor(data[:512], str(file))
    plugin = plugins.load(engines, "onnx")
    if plugin.read_manifest(data) is not None:
        return Model(*find(path), conf=conf)
    engine: engines.Engine = plugin.open_model(data, 1)
    manifest = _yolox(file, engine, labels)
    return Model(manifest, manifest.variants[0], data, conf=conf)


def _yolox(file: Path, engine: engines.Engine, labels: tuple[str, ...]) -> Manifest:
    """The manifest of a YOLOX model.

    Raises:
        ModelError: The shapes do not fit that layout.
    """
    shapes = dict(engine.inputs)
    layout = f"{file}: takes {shapes}; only YOLOX (1, 3, H, W) to (1, N, 5 + classes) is known"
    shape = next(iter(shapes.values()))
    if len(shapes) != 1 or len(engine.outputs) != 1 or len(shape) != 4 or shape[1] != 3:
        raise ModelError(layout)
    size = (shape[2], shape[3])
    if any(side <= 0 or side % STRIDES[-1] for side in size):
        raise ModelError(layout)
    labels = labels or COCO
    name: EngineName = "onnx"
    variant = Variant(
        file=file.name,
        engine=name,
        precision="fp32",
        tensors={"image": next(iter(shapes)), "rows": engine.outputs[0]},
    )
    return Manifest(
        name=file.stem,
        task="detect",
        labels=labels,
        input=ImageInput(size=size, color="bgr", steps=(Letterbox(size, align="start"),)),
        outputs=("rows",),
        decode=Decode(name="yolox"),
        variants=(variant,),
        provenance=Provenance(edgenn=edgenn.__version__),
    )
