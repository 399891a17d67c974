"""``edgenn sources``: where pictures and readings can come from on this device."""

from __future__ import annotations

import click

from edgenn import plugins
from edgenn.errors import MissingExtraError
from edgenn.runtime import devices, sources


@click.command(short_help="List this device's cameras, sensors and the kinds of source.")
def command() -> None:
    """List cameras, serial ports, I2C buses and IIO sensors of this device.

    Then each kind of source with an example for it.
    """
    camera = plugins.load(sources, "camera")
    found = camera.cameras()
    click.echo("cameras of this device:" if found else "this device has no camera")
    for path, name in found:
        click.echo(f"  --camera {path:<14}{name}")
    _list("serial ports", [(f"serial:{path}", what) for path, what in devices.serial_ports()])
    _list("I2C buses", [(f"i2c://{bus}/CHIP", what) for bus, what in devices.i2c_buses()])
    _list("IIO sensors", [(f"iio:{node}", what) for node, what in devices.iio_devices()])
    click.echo("\nkinds of source, as `edgenn run` takes them:")
    for name in plugins.names(sources):
        try:
            module = plugins.load(sources, name)
        except MissingExtraError as error:
            click.echo(f"  {name:<10}{'':<10}{error}")
            continue
        what = "pictures" if module.KIND == "image" else "readings"
        click.echo(f"  {name:<10}{what:<10}{module.EXAMPLE}")


def _list(what: str, found: list[tuple[str, str]]) -> None:
    if found:
        click.echo(f"{what} of this device:")
    for address, name in found:
        click.echo(f"  --sensor {address:<20} {name}".rstrip())
