"""``edgenn sources``: where pictures and readings can come from on this device."""

from __future__ import annotations

import click

from edgenn import plugins
from edgenn.runtime import sources


@click.command(short_help="List this device's cameras and the kinds of source.")
def command() -> None:
    """List the cameras of this device, and each kind of source with an example for it."""
    camera = plugins.load(sources, "camera")
    found = camera.cameras()
    click.echo("cameras of this device:" if found else "this device has no camera")
    for path, name in found:
        click.echo(f"  --camera {path:<14}{name}")
    click.echo("\nkinds of source, as `edgenn run` takes them:")
    for name in plugins.names(sources):
        module = plugins.load(sources, name)
        what = "pictures" if module.KIND == "image" else "readings"
        click.echo(f"  {name:<10}{what:<10}{module.EXAMPLE}")
