"""``edgenn key``: keys that bundles are signed with."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(short_help="Make keys to sign bundles with.")
def command() -> None:
    """Keys that bundles are signed with."""


@command.command(short_help="Make a key pair.")
@click.argument("key", type=click.Path(path_type=Path))
def new(key: Path) -> None:
    """Write an Ed25519 key to KEY, which stays secret, and its public half to KEY.pub.

    Devices get KEY.pub, for --require-key. Nothing is written over.
    """
    from edgenn.bundle.signing import new_key

    click.echo(f"key {new_key(key)}: {key} (keep it secret), {key}.pub (give it to devices)")
