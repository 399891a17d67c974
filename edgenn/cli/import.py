"""``edgenn import``: a model file that edgenn did not write becomes a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from edgenn.cli._foreign import ForeignFlags, foreign_options


@click.command(short_help="Make a bundle of an ONNX or TFLite file from elsewhere.")
@click.argument("model", type=click.Path(path_type=Path))
@foreign_options
@click.option("--conf", type=click.FloatRange(0, 1), help="Detectors: lowest score.")
@click.option("--iou", type=click.FloatRange(0, 1), help="Detectors: overlap for suppression.")
@click.option("--name", default="", help="Name of the model.  [the file's]")
@click.option(
    "--picture",
    "pictures",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Golden sample for edgenn verify; may be given again.  [a generated picture]",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Bundle.  [NAME.edgenn]")
def command(
    model: Path,
    foreign: ForeignFlags,
    conf: float | None,
    iou: float | None,
    name: str,
    pictures: tuple[Path, ...],
    out: Path | None,
) -> None:
    """Wrap MODEL, an .onnx or .tflite file that edgenn did not write, as a bundle.

    What is inferred from the file is printed with its reason. Where the file
    leaves something open, the command names the flag that says it.
    """
    from zipfile import is_zipfile

    from edgenn.bundle.store import open_bundle
    from edgenn.cli._quiet import hushed_stderr
    from edgenn.errors import UsageError
    from edgenn.runtime.foreign import is_foreign
    from edgenn.runtime.foreign._file import SUFFIXES
    from edgenn.runtime.foreign.importing import import_model, read_picture

    if not model.exists():
        raise UsageError(f"there is no model file at {model}")
    if not is_foreign(model):
        if model.suffix.lower() not in SUFFIXES:
            if not is_zipfile(model):
                raise UsageError(f"edgenn imports .onnx and .tflite files, and {model} is neither")
            open_bundle(model)
        raise UsageError(f"{model} needs no import: edgenn wrote it")
    wishes = foreign.wishes(conf, iou, name)
    target = out or Path(f"{wishes.name or model.stem}.edgenn")
    with hushed_stderr():
        found = import_model(model, target, wishes, [read_picture(p) for p in pictures])
    for reason in found.reasons:
        click.echo(reason)
    click.echo(f"wrote {target} ({target.stat().st_size / 1e6:.2f} MB)")
