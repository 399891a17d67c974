"""``edgenn data``: look at training data before training on it."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgenn import plugins
from edgenn.cli._progress import show_progress
from edgenn.cli._table import echo_table
from edgenn.data import readers
from edgenn.errors import DataError, UsageError

if TYPE_CHECKING:
    from edgenn.data.check import Report

_SHOWN = 20


@click.group(short_help="Check training data.")
def command() -> None:
    """Look at training data."""


@command.command()
@click.argument("target", type=click.Path(path_type=Path), metavar="RECIPE|PATH")
@click.option(
    "--format",
    "layout",
    type=click.Choice(plugins.names(readers)),
    help="Layout of the data at PATH; guessed without it.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Data in place of the recipe's.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the contact sheet.")
@click.option("--all", "show_all", is_flag=True, help="List all bad files, not the first 20.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def check(
    target: Path,
    layout: str | None,
    data: Path | None,
    out: Path | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """Count samples per class and side, list bad files, and write a contact sheet.

    RECIPE is a recipe whose data is checked and split as training would do it.
    PATH is a data set. Exits with 5 where training would refuse the data.
    """
    report, name = _check(target, layout, data)
    out = out or Path(f"{name}-sheet.png")
    sheet = _write_sheet(report, out)
    if as_json:
        click.echo(json.dumps(_content(report, sheet), indent=1))
    else:
        _echo_counts(report)
        _echo_problems(report, show_all=show_all)
        if sheet:
            click.echo(f"wrote {sheet}")
    if report.fault:
        raise DataError(report.fault)


def _check(target: Path, layout: str | None, data: Path | None) -> tuple[Report, str]:
    try:
        from edgenn.data.check import check_data, check_recipe
        from edgenn.data.load import guess_format
        from edgenn.recipe.load import expand, load_recipe
        from edgenn.recipe.schema import Data
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "edgenn data check") from error

    if is_recipe(target):
        if layout:
            raise UsageError("--format is for a PATH; a recipe says its format itself")
        recipe = load_recipe(target)
        root = data or expand(recipe.data.path, "data.path")
        return check_recipe(recipe, root, show_progress), recipe.name
    if data:
        raise UsageError(f"--data goes with a recipe, but {target} is none")
    spec = Data.model_validate({"format": layout or guess_format(target), "path": str(target)})
    return check_data(spec, target, show_progress), target.resolve().stem


def is_recipe(path: Path) -> bool:
    """Whether a file is a recipe, and not the data.yaml of a data set."""
    import yaml

    if path.suffix not in (".yaml", ".yml") or not path.is_file():
        return False
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return True  # reading it as a recipe says what is wrong
    return not (isinstance(content, dict) and {"train", "val", "test"} & set(content)) or (
        "task" in content
    )


def _write_sheet(report: Report, out: Path) -> Path | None:
    from edgenn.data.sheet import write_sheet

    samples = [*chain.from_iterable(report.sides.values())]
    if not samples:
        return None
    write_sheet(samples, report.labels, report.channels, out)  # type: ignore[arg-type]  # of one kind
    return out


def _echo_counts(report: Report) -> None:
    counts = report.counts()
    units = list(dict.fromkeys(u for c in counts.values() for row in c.values() for u in row))
    head = ["class", *(f"{side} {unit}" for side in counts for unit in units)]
    present = [name for name in report.labels if any(name in c for c in counts.values())]
    rows = []
    for name in present:
        cells = [str(c.get(name, {}).get(unit, 0)) for c in counts.values() for unit in units]
        rows.append([name, *cells])
    echo_table(head, rows)
    click.echo()
    absent = [name for name in report.labels if name not in present]
    if absent:
        click.echo(f"no sample of {len(absent)} classes: {', '.join(absent)}")
    groups = report.groups()
    for side, samples in report.sides.items():
        names = groups[side]
        told = f": {', '.join(names)}" if len(names) <= _SHOWN and len(names) < len(samples) else ""
        click.echo(f"{side}: {len(samples)} samples in {len(names)} groups{told}")


def _echo_problems(report: Report, *, show_all: bool) -> None:
    bad = [problem for problem in report.problems if not problem.mended]
    mended = [problem for problem in report.problems if problem.mended]
    for title, problems in (("bad, left out", bad), ("mended or noted", mended)):
        if not problems:
            continue
        click.echo(f"\n{len(problems)} {title}:")
        shown = problems if show_all else problems[:_SHOWN]
        for problem in shown:
            click.echo(f"  {problem.file}: {problem.reason}")
        if len(shown) < len(problems):
            click.echo(f"  ... and {len(problems) - len(shown)} more; --all lists them")
    share = report.bad / max(1, report.total)
    click.echo(f"\n{report.bad} of {report.total} samples are bad ({share:.1%})")


def _content(report: Report, sheet: Path | None) -> dict[str, object]:
    return {
        "labels": report.labels,
        "channels": report.channels,
        "samples": {side: len(samples) for side, samples in report.sides.items()},
        "groups": {side: len(names) for side, names in report.groups().items()},
        "counts": report.counts(),
        "bad": report.bad,
        "total": report.total,
        "problems": [asdict(problem) for problem in report.problems],
        "fault": report.fault,
        "sheet": str(sheet) if sheet else None,
    }
