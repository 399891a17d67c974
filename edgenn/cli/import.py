"""``edgenn import``: a model of another toolkit as a bundle."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import click
import numpy as np

from edgenn.cli._quiet import hush_opencv, hushed_stderr
from edgenn.errors import UsageError
from edgenn.types import Image

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_MOST_SAMPLES = 8


def _size(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, int] | None:
    del ctx, param
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,5})(?:[x,](\d{1,5}))?", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH or one number for both")
    return int(found[1]), int(found[2] or found[1])


@click.command(short_help="Wrap an ONNX or TFLite file of another toolkit as a bundle.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", "-o", type=click.Path(path_type=Path), help="Bundle.  [NAME.edgenn]")
@click.option("--as", "layout", metavar="LAYOUT", help="Layout of the outputs, as yolov8 or ssd.")
@click.option("--labels", metavar="FILE|coco|imagenet", help="Class names, one a line.")
@click.option(
    "--normalize",
    metavar="0..1|-1..1|0..255|imagenet|M,M,M/S,S,S",
    help="How pictures are scaled.",
)
@click.option("--input-order", type=click.Choice(["rgb", "bgr"]), help="Channel order.")
@click.option(
    "--imgsz", metavar="N|HxW", callback=_size, help="Input size, where the file leaves it open."
)
@click.option("--conf", type=click.FloatRange(0, 1), help="Detectors: lowest score.")
@click.option("--iou", type=click.FloatRange(0, 1), help="Detectors: overlap for suppression.")
@click.option("--name", help="Name of the model.  [that of the file]")
@click.option(
    "--samples",
    type=click.Path(path_type=Path),
    help="Folder of pictures for the golden samples.  [made up]",
)
@click.option(
    "--activation", type=click.Choice(["softmax", "sigmoid", "none"]), help="Classifiers."
)
def command(
    model: Path,
    out: Path | None,
    layout: str | None,
    labels: str | None,
    normalize: str | None,
    input_order: Literal["rgb", "bgr"] | None,
    imgsz: tuple[int, int] | None,
    conf: float | None,
    iou: float | None,
    name: str | None,
    samples: Path | None,
    activation: str | None,
) -> None:
    """Wrap MODEL, an ONNX or TFLite file, with what it takes to use it.

    Layout, labels, size and scaling are read from the file; what was found and why is printed.
    What the file does not tell is asked for by a flag.
    """
    from edgenn.runtime import foreign
    from edgenn.runtime.foreign import wrap
    from edgenn.runtime.model import is_foreign

    hush_opencv()
    if model.suffix not in (".onnx", ".tflite"):
        raise UsageError(f"{model} is neither .onnx nor .tflite; other files are not known")
    if model.is_file() and not is_foreign(model):
        raise UsageError(f"{model} was written by edgenn and knows all of this; run it as it is")
    params = {"conf": conf, "iou": iou, "activation": activation}
    wishes = foreign.Wishes(
        layout=layout or "",
        labels=foreign.read_labels(labels) if labels else (),
        normalize=normalize or "",
        color=input_order,
        size=imgsz,
        name=name or "",
        params={key: value for key, value in params.items() if value is not None},
    )
    with hushed_stderr():
        found = foreign.describe(model, wishes)
        target = out or Path(f"{found.manifest.name}.edgenn")
        manifest = wrap.write(found, target, _pictures(samples))
    for line in found.said:
        click.echo(line)
    assert manifest.golden is not None
    click.echo(f"wrote {target}, with {manifest.golden.count} golden samples")


def _pictures(folder: Path | None) -> list[Image]:
    """The first pictures of a folder, by name."""
    import cv2

    if folder is None:
        return []
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in _IMAGES)
    read = [cv2.imread(str(path), cv2.IMREAD_COLOR) for path in paths[:_MOST_SAMPLES]]
    found = [picture for picture in read if picture is not None]
    if not found:
        raise UsageError(f"--samples: there is no picture in {folder}")
    return [np.asarray(picture, np.uint8) for picture in found]
