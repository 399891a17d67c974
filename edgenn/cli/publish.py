"""``edgenn publish``: put a bundle where devices look for it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Put a bundle into the folder of a web server.")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "folder",
    required=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="What the server hands out; gets the bundle and index.json.",
)
@click.option(
    "--rollout",
    type=click.FloatRange(0, 100),
    default=100.0,
    show_default=True,
    metavar="PERCENT",
    help="Share of the devices that get it; run it again with more.",
)
@click.option("--serial", type=click.IntRange(min=1), help="Of a bundle that is not signed.")
@click.option("--min-edgenn", metavar="VERSION", default="", help="Smallest that can run it.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    type=click.Path(path_type=Path),
    help="Private key that signs index.json; may be given again.",
)
def command(
    bundle: Path,
    folder: Path,
    rollout: float,
    serial: int | None,
    min_edgenn: str,
    keys: tuple[Path, ...],
) -> None:
    """Copy BUNDLE to FOLDER and list it in the index.json there.

    Any static web server will do. Devices run with --bundle-url and the address of index.json.
    """
    from edgenn.runtime.update.publish import publish

    made = publish(bundle, folder, rollout=rollout, serial=serial, min_edgenn=min_edgenn, keys=keys)
    click.echo(
        f"{folder / made.url}: {made.name}, serial {made.serial}, for {made.rollout:g} % of devices"
    )
