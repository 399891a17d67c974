"""``edgenn export``: a finished run becomes a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgenn.export.flow import Outcome


@click.command(short_help="Quantise, export, verify and bundle a trained run.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "formats",
    default="onnx,tflite",
    show_default=True,
    help="Formats to write, separated by commas.",
)
@click.option("--int8", is_flag=True, help="Also write int8, calibrated on training samples.")
@click.option("--half", is_flag=True, help="Also write float16.")
@click.option("--out", type=click.Path(path_type=Path), help="Bundle to write.  [NAME.edgenn]")
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    help="Largest loss of the task metric, absolute.  [the recipe's, 0.01]",
)
@click.option("--opset", type=int, default=18, show_default=True, help="ONNX opset version.")
@click.option("--keep", default="", help="Only these files go into the bundle.  [all that pass]")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where the data lies now.  [where it lay in training]",
)
def command(
    run: Path,
    formats: str,
    int8: bool,
    half: bool,
    out: Path | None,
    max_drop: float | None,
    opset: int,
    keep: str,
    data: Path | None,
) -> None:
    """Export RUN, a folder that edgenn train wrote, as a bundle.

    Every file is run by the device's own engine over the validation split. One
    that loses more than --max-drop stays out of the bundle, and the command
    then exits with 10.
    """
    from edgenn.cli._options import split_names
    from edgenn.cli._progress import show_progress
    from edgenn.data.load import load_dataset
    from edgenn.export.flow import Options, export
    from edgenn.train.run import load_run

    loaded = load_run(run)
    dataset = load_dataset(loaded.recipe, data or loaded.data, show_progress)
    options = Options(
        formats=split_names(formats),
        keep=split_names(keep),
        half=half,
        int8=int8,
        opset=opset,
        max_drop=loaded.recipe.export.max_drop if max_drop is None else max_drop,
    )
    outcome = export(
        loaded, dataset, out or Path(f"{loaded.recipe.name}.edgenn"), options, show_progress
    )
    _table(outcome)
    outcome.raise_if_failed()
    click.echo(f"wrote {outcome.out} ({outcome.out.stat().st_size / 1e6:.2f} MB)")


def _table(outcome: Outcome) -> None:
    from edgenn.cli._table import echo_table
    from edgenn.export.report import row

    reference = outcome.reference
    head = [
        "file",
        reference.name,
        "drop",
        "worst class",
        "max abs error",
        "size",
        "p50 ms",
        "p95 ms",
        "gate",
    ]
    rows = [["trained network", f"{reference.main:.4f}", *[""] * 7]]
    for entry in map(row, outcome.scores):
        cells = [
            entry[k] for k in ("file", "metric", "drop", "worst", "max_abs", "size", "p50", "p95")
        ]
        rows.append([*cells, "pass" if entry["passed"] else "LEFT OUT"])
    echo_table(head, rows)
