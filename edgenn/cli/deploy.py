"""``edgenn deploy``: a bundle on other machines, as a service that is known to work."""

from __future__ import annotations

import getpass
import re
import socket
import tempfile
from pathlib import Path
from typing import Any

import click

from edgenn.cli._options import Number
from edgenn.errors import DeployError, UsageError

_REST = "edgenn.deploy.rest"
# Extras that options of edgenn run, and kinds of sensors, want on the device.
_WANTED = {"mqtt": "mqtt", "mqtt_state": "mqtt", "gpio": "gpio", "require_key": "sign"}
_SENSORS = ("mqtt", "serial", "i2c")


class _WithRest(click.Command):
    """Keeps what follows ``--`` apart; click would take it for further hosts."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[_REST] = args[cut + 1 :]
        return super().parse_args(ctx, args[:cut])


@click.command(
    cls=_WithRest,
    short_help="Install and verify a bundle on other machines, over ssh.",
    options_metavar="[OPTIONS]",
)
@click.argument("bundle")
@click.argument("hosts", nargs=-1, required=True, metavar="[USER@]HOST...")
@click.option("--service", is_flag=True, help="Have systemd run it, now and at boot.")
@click.option(
    "--scope",
    type=click.Choice(["auto", "user", "system"]),
    default="auto",
    help="Below the user's home, or in /opt with sudo.  [system for root, else user]",
)
@click.option("--name", help="Of the deployment; several live side by side.  [the bundle's]")
@click.option("--camera", metavar="N|NAME", help="As for edgenn run.")
@click.option("--source", metavar="FILE|DIR|URL", help="As for edgenn run; a file is one there.")
@click.option("--sensor", metavar="FILE.csv|URI", help="As for edgenn run.")
@click.option(
    "--wheel",
    type=click.Path(path_type=Path),
    help="A wheel of edgenn.  [made from the source tree, or that of this version]",
)
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Wheels of all that edgenn needs, for devices without internet.",
)
@click.option(
    "--extra",
    "extras",
    multiple=True,
    help="Extra of edgenn to install, beside those that the arguments want.",
)
@click.option("--python", metavar="PATH", help="Interpreter there.  [python3, 3.10 or newer]")
@click.option("--timeout", type=Number(min=1), default=90.0, show_default=True,
              help="Seconds until the service must be ready.")  # fmt: skip
@click.option("--settle", type=Number(min=0), default=10.0, show_default=True,
              help="Seconds that it must stay ready.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=4, show_default=True,
              help="Hosts at a time.")  # fmt: skip
@click.option(
    "--ssh-config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Ports and keys of the hosts.  [~/.ssh/config]",
)
@click.option("--dry-run", is_flag=True, help="Look at the hosts and print the plan only.")
@click.pass_context
def command(
    ctx: click.Context,
    bundle: str,
    hosts: tuple[str, ...],
    service: bool,
    scope: str,
    name: str | None,
    camera: str | None,
    source: str | None,
    sensor: str | None,
    wheel: Path | None,
    wheelhouse: Path | None,
    extras: tuple[str, ...],
    python: str | None,
    timeout: float,
    settle: float,
    jobs: int,
    ssh_config: Path | None,
    dry_run: bool,
) -> None:
    """Bring BUNDLE and edgenn to each HOST, prove that it works there, and switch to it.

    On the host the golden samples are verified and the variants timed; the fastest
    that verifies is taken. With --service it is watched until it is healthy, and what
    ran before runs again where it does not become so, also after Ctrl-C or a lost
    connection. Nothing is asked: keys and host keys must be known to ssh.

    Further arguments for edgenn run follow after --, such as
    edgenn deploy my.edgenn pi@hall --service --camera 0 -- --mqtt mqtts://broker/hall
    """
    from edgenn.cli._signals import stop_on_signals
    from edgenn.deploy.cargo import pack
    from edgenn.deploy.plan import Wish
    from edgenn.deploy.rollout import Rollout

    if len(set(hosts)) != len(hosts):
        raise UsageError("a host is named twice")
    rest: list[str] = ctx.meta[_REST]
    given = {"--camera": camera, "--source": source, "--sensor": sensor}
    flags = [part for key, value in given.items() if value is not None for part in (key, value)]
    asked = _check(bundle, [*flags, *rest], service=service)
    own_name = None if name is None else _name(name, given=True)
    _refuse_unknown(extras)
    with tempfile.TemporaryDirectory(prefix="edgenn-") as folder:
        cargo = pack(bundle, wheel, wheelhouse, Path(folder))
        variants = [
            {"file": v.file, "engine": v.engine, "precision": v.precision}
            for v in cargo.manifest.variants
            if asked["engine"] in ("auto", v.engine) and asked["precision"] in (None, v.precision)
        ]
        if not variants:
            raise UsageError(f"{bundle} has no variant of that engine and precision")
        wish = Wish(
            name=own_name or _name(cargo.manifest.name, given=False),
            cargo=cargo,
            arguments=(*flags, *rest),
            variants=tuple(variants),
            service=service,
            scope=scope,
            extras=tuple(sorted({*extras, *_implied(asked, variants)})),
            timeout=timeout,
            settle=settle,
            who=f"{getpass.getuser()}@{socket.gethostname()}",
        )
        rollout = Rollout(wish, ssh_config, python, lambda h, text: click.echo(f"{h}: {text}"))
        with stop_on_signals(rollout.stop):
            outcomes = rollout.run(hosts, jobs, dry=dry_run)
    _report(outcomes, stopped=rollout.stopped())
    if rollout.stopped():
        raise click.Abort
    failed = [outcome for outcome in outcomes if outcome.result == "failed"]
    if failed:
        sentences = "; ".join(f"{outcome.host}: {outcome.note}" for outcome in failed)
        count = f"{len(failed)} of {len(outcomes)} hosts failed: " if len(outcomes) > 1 else ""
        raise DeployError(count + sentences)


def _check(bundle: str, arguments: list[str], *, service: bool) -> dict[str, Any]:
    """Parse the arguments as ``edgenn run`` will, so that a typing error costs no round trip.

    Returns:
        The values of its options.
    """
    from edgenn.cli.run import command as run

    with run.make_context("run", [bundle, *arguments]) as context:
        values: dict[str, Any] = context.params
    if service and all(values[key] is None for key in ("camera", "source", "sensor")):
        raise UsageError("a service needs --camera, --source or --sensor")
    return values


def _refuse_unknown(extras: tuple[str, ...]) -> None:
    from edgenn import plugins

    known = sorted({*plugins.EXTRAS.values(), "gui"})
    for extra in extras:
        if extra not in known:  # pip would say nothing, and the package be missing there
            raise UsageError(f"edgenn has no extra {extra!r}; there are {', '.join(known)}")


def _implied(asked: dict[str, Any], variants: list[dict[str, str]]) -> set[str]:
    """Extras without which a run with these arguments would end on the device."""
    found = {extra for key, extra in _WANTED.items() if asked[key]}
    found |= {str(asked["sensor"]).partition(":")[0]} & set(_SENSORS)
    return found | ({"onnx"} if all(v["engine"] == "onnx" for v in variants) else set())


def _name(name: str, *, given: bool) -> str:
    """The name, fit for a folder and a unit."""
    if re.fullmatch(r"[A-Za-z0-9][\w.-]{0,63}", name, re.ASCII):
        return name
    if given:
        raise UsageError(f"--name {name!r} may have letters, digits, '-', '_' and '.' only")
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:64] or "model"


def _report(outcomes: list[Any], *, stopped: bool) -> None:
    from edgenn.cli._table import echo_table

    rows = [
        [
            outcome.host,
            outcome.result,
            outcome.release,
            outcome.variant,
            f"{outcome.milliseconds:.2f}" if outcome.milliseconds else "",
        ]
        for outcome in outcomes
    ]
    echo_table(["host", "result", "release", "variant", "ms"], rows)
    for outcome in outcomes:
        if outcome.note and (outcome.result != "failed" or stopped):
            click.echo(f"{outcome.host}: {outcome.note}")
