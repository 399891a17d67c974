"""``edgenn sign``: vouch for a bundle."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Sign a bundle.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    required=True,
    multiple=True,
    metavar="KEY",
    type=click.Path(path_type=Path),
    help="Private key, from edgenn key new; may be given again.",
)
@click.option(
    "--serial",
    type=click.IntRange(min=1),
    help="Number of the release, larger than all before.  [that of the signatures there]",
)
def command(bundle: Path, keys: tuple[Path, ...], serial: int | None) -> None:
    """Sign every file of BUNDLE, and its serial, with one or several keys.

    A bundle that is signed gets one more signature. Whoever changes it afterwards, also by
    edgenn eval --write-conf or edgenn tune, has to sign it again with a larger serial.
    """
    from edgenn.bundle.signing import sign

    for key in keys:
        said = sign(bundle, key, serial)
        serial = said.serial
    click.echo(f"{bundle}: {said.name}, serial {said.serial}, bundle {said.manifest_sha256}")
