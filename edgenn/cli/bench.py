"""``edgenn bench``: how fast are the variants of a bundle on this machine?"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from edgenn.cli._options import Number, ProviderFlags, provider_options, split_names
from edgenn.errors import ModelError, SinkError, UsageError
from edgenn.runtime.bench.report import Case, Report

_TOP_OPS = 3


@click.command(short_help="Measure every variant of a bundle on this machine.")
@click.argument("bundle", required=False)
@click.option("--engines", default="all", show_default=True, help="all, or onnx,litert.")
@click.option("--precisions", default="all", show_default=True, help="all, or fp32,fp16,int8.")
@click.option("--threads", help="Of the engine, such as 1,2,4.  [1, 2 and 4, if there are cores]")
@click.option(
    "--duration",
    type=Number(min=0.05, max=3600),
    default=10.0,
    show_default=True,
    help="Seconds of timed inference for each variant and thread count.",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1, max=100),
    default=3,
    show_default=True,
    help="In so many parts, in turns with the others.",
)
@provider_options
@click.option("--profile/--no-profile", default=True, help="Also say what each operator takes.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report; - prints it alone.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for bench.json and a chart.",
)
@click.option(
    "--compare",
    "pair",
    nargs=2,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="A.json B.json",
    help="Compare two reports instead.",
)
def command(
    bundle: str | None,
    engines: str,
    precisions: str,
    threads: str | None,
    duration: float,
    rounds: int,
    place: ProviderFlags,
    profile: bool,
    json_file: str | None,
    out: Path | None,
    pair: tuple[Path, Path] | None,
) -> None:
    """Measure the variants of BUNDLE, or compare two reports.

    Each variant and thread count runs in processes of its own: loading, the first
    inference, warm latency, CPU time, memory, energy where the board says it, and
    ONNX Runtime's time per operator. Exit code 6 where not one could be run.
    """
    if pair:
        if bundle is not None:
            raise UsageError("--compare takes two reports and no bundle")
        _compare(*pair)
        return
    if bundle is None:
        raise UsageError("name a bundle to measure, or two reports with --compare")
    from edgenn.runtime.bench.run import bench, steps

    which: dict[str, Any] = {
        "engines": _listed(engines, "--engines", ("onnx", "litert")),
        "precisions": _listed(precisions, "--precisions", ("fp32", "fp16", "int8")),
        "threads": _counts(threads),
        "rounds": rounds,
        "provider": place.provider,
        "profile": profile,
    }
    if out is not None:
        _make(out)
    with _progress(steps(bundle, **which)) as tick:
        report = bench(bundle, seconds=duration, half=place.half, tick=tick, **which)
    _deliver(report, json_file, out)
    _complain(report)


def _complain(report: Report) -> None:
    """Say on the error output what is missing from the numbers, or wrong with them.

    Raises:
        ModelError: There are none at all.
    """
    failed = [case for case in report.cases if case.error]
    for case in failed:
        click.echo(f"{case.file}, {case.threads} threads: {case.error}", err=True)
    for file, reason in report.skipped.items():
        click.echo(f"{file}: {reason}", err=True)
    if len(failed) == len(report.cases):
        raise ModelError(f"no variant of {report.bundle} could be run")
    if fault := report.disturbance():
        click.echo(fault, err=True)


def _deliver(report: Report, json_file: str | None, out: Path | None) -> None:
    if json_file == "-":
        click.echo(report.to_json())
    else:
        _show(report)
    if json_file is not None and json_file != "-":
        _write(Path(json_file), report.to_json().encode())
    if out is not None:
        import cv2

        from edgenn.runtime.bench.chart import draw_latencies

        _write(out / "bench.json", report.to_json().encode())
        title = f"{report.bundle} on {report.machine.board or report.machine.cpu}"
        chart = cv2.imencode(".png", draw_latencies(title, report.cases))[1]
        _write(out / "latency.png", chart.tobytes())


def _show(report: Report) -> None:
    from edgenn.cli._table import echo_table

    machine = report.machine
    click.echo(
        f"{report.bundle} on {machine.board or machine.cpu}, {machine.cores} cores, "
        f"{machine.governor or 'unknown'} governor; input: {report.settings.input}; "
        f"energy: {report.energy}"
    )
    head = ["file", "threads", "on", "init ms", "first", "p50", "p95", "p99", "CPU ms", "MB", "mJ"]
    echo_table(head, [_row(case) for case in report.cases])
    for case in report.cases:
        if case.profile is not None:
            slowest = (
                f"{op.name} {op.share:.0%} ({op.count})" for op in case.profile.types[:_TOP_OPS]
            )
            click.echo(f"{case.file} x{case.threads}: {', '.join(slowest)}")
    for note in sorted({f"{c.engine}: {c.profile_note}" for c in report.cases if c.profile_note}):
        click.echo(f"no profile of {note}")


def _row(case: Case) -> list[str]:
    head = [case.file, str(case.threads)]
    if case.error:
        return [*head, "failed", *[""] * 8]
    times = (case.init_ms, case.first_ms, case.p50_ms, case.p95_ms, case.p99_ms, case.cpu_ms)
    energy = "" if case.energy_mj is None else f"{case.energy_mj:.3g}"
    return [*head, case.provider, *(f"{t:.3g}" for t in times), f"{case.memory_mb:.0f}", energy]


def _compare(first: Path, second: Path) -> None:
    from edgenn.cli._table import echo_table
    from edgenn.runtime.bench.compare import compare, notes
    from edgenn.runtime.bench.report import read_report

    a, b = read_report(first), read_report(second)
    ratios = compare(a, b)
    for note in notes(a, b):
        click.echo(f"differs: {note}")
    for path, report in ((first, a), (second, b)):
        if fault := report.disturbance():
            click.echo(f"{path}: {fault}", err=True)
    click.echo(f"{second} over {first}; below 1 is faster or smaller")
    rows = [
        [
            r.file,
            str(r.threads),
            *(f"{x:.3f}" for x in (r.p50, r.p99, r.cpu, r.memory)),
            "within the noise of the rounds" if r.in_noise else "",
        ]
        for r in ratios
    ]
    echo_table(["file", "threads", "p50", "p99", "CPU", "memory", ""], rows)


def _listed(text: str, option: str, known: tuple[str, ...]) -> list[str]:
    """What a user named; empty for all."""
    found = split_names(text)
    if found == ["all"]:
        return []
    wrong = [name for name in found if name not in known]
    if wrong or not found:
        raise UsageError(f"{option} takes all or some of {','.join(known)}, not {text!r}")
    return found


def _counts(text: str | None) -> list[int]:
    """Thread counts, each once."""
    if text is None:
        cores = len(os.sched_getaffinity(0))
        return [n for n in (1, 2, 4) if n <= cores]
    found = split_names(text)
    if not found or not all(n.isdecimal() and 1 <= int(n) <= 256 for n in found):
        raise UsageError(f"--threads takes numbers from 1 to 256 such as 1,2,4, not {text!r}")
    return sorted({int(n) for n in found})


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[str], object]]:
    """A bar on the error output, where that is a terminal."""
    if not sys.stderr.isatty():
        yield str
        return
    with click.progressbar(
        length=total, file=sys.stderr, show_pos=True, item_show_func=lambda name: name or ""
    ) as bar:
        yield lambda name: bar.update(1, name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SinkError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SinkError(f"cannot write {path}: {error.strerror}") from error
