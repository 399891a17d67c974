"""``edgenn warm``: build what takes minutes before a device is in use."""

from __future__ import annotations

from time import monotonic

import click
import numpy as np

from edgenn.bundle.manifest import Precision


@click.command(short_help="Build TensorRT's engine for a bundle ahead of its use.")
@click.argument("bundle")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), help="ONNX file.  [fp32]")
@click.option("--half", is_flag=True, help="Let TensorRT compute in fp16.")
def command(bundle: str, precision: Precision | None, half: bool) -> None:
    """Build TensorRT's engine for the ONNX file of BUNDLE and keep it.

    From then on `edgenn run --provider tensorrt`, and auto, with the same --precision
    and --half start in seconds. Another version of ONNX Runtime or TensorRT needs another build.
    """
    from edgenn.cli._quiet import hushed_stderr
    from edgenn.runtime.model import load

    begun = monotonic()
    with hushed_stderr():
        model = load(bundle, precision=precision, provider="tensorrt", half=half)
        model.infer(np.zeros_like(model.new_tensor()))
    click.echo(f"{model.variant.file} is ready for TensorRT after {monotonic() - begun:.1f} s")
