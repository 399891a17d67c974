"""``edgenn verify``: does this machine compute what was trained?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from edgenn.bundle.manifest import EngineName, Precision
from edgenn.cli._options import ProviderFlags, engine_options, provider_options
from edgenn.cli._updates import KEY_OPTIONS, policy_of
from edgenn.errors import ParityError


@click.command(short_help="Prove that a bundle computes on this machine what was trained.")
@click.argument("bundle")
@engine_options("Only the variants of this engine.", "Only the variants of this precision.")
@provider_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@KEY_OPTIONS[0]
@KEY_OPTIONS[1]
def command(
    bundle: str,
    engine: EngineName | Literal["auto"],
    precision: Precision | None,
    threads: int,
    place: ProviderFlags,
    as_json: bool,
    require_key: tuple[Path, ...],
    revoked: Path | None,
) -> None:
    """Replay the golden samples of BUNDLE through each of its variants.

    Needs nothing but numpy, OpenCV and an engine. Exits with 9 where a variant
    differs from the trained network by more than its tolerance. With --require-key also who
    signed it is checked, and every file; exits with 13 where that is not as wanted.
    """
    from edgenn.cli._quiet import hushed_stderr
    from edgenn.cli._table import echo_table
    from edgenn.runtime.files import resolve
    from edgenn.runtime.golden import verify

    policy = policy_of(require_key, revoked)
    if policy is not None:
        said = policy.open(resolve(bundle))
        click.echo(
            f"{bundle}: signed by {', '.join(said.keys)}, serial {said.statement.serial}, bundle "
            f"{said.statement.manifest_sha256}",
            err=True,
        )
    with hushed_stderr():
        wishes = {"threads": threads, **place.arguments()}
        checks = verify(bundle, engine=engine, precision=precision, **wishes)
    if as_json:
        click.echo(
            json.dumps(
                [
                    {
                        "file": c.variant.file,
                        "status": c.status,
                        "reason": c.reason,
                        "max_abs": dict(c.max_abs or {}),
                        "agreement": c.agreement,
                        "preprocess": c.preprocess,
                    }
                    for c in checks
                ],
                indent=1,
            )
        )
    else:
        rows = []
        for check in checks:
            errors = ", ".join(f"{k} {v:.2g}" for k, v in (check.max_abs or {}).items())
            agreed = f"{check.agreement:.3f}" if check.max_abs else ""
            rows.append([check.variant.file, check.status, agreed, errors])
        echo_table(["file", "status", "agreement", "max abs error"], rows)
        for check in checks:
            if check.status == "skipped":
                click.echo(f"{check.variant.file}: {check.reason}", err=True)
    failed = [c for c in checks if c.status == "fail"]
    if failed:
        raise ParityError("; ".join(f"{c.variant.file}: {c.reason}" for c in failed))
