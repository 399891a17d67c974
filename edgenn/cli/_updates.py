"""Which bundles a command trusts, and where newer ones come from: the flags and what they open."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from edgenn import plugins
from edgenn.bundle.trust import Policy, Trusted, read_public, read_revoked
from edgenn.cli._options import gathered
from edgenn.cli._outputs import OutputFlags
from edgenn.errors import UsageError
from edgenn.runtime import sinks
from edgenn.runtime.files import resolve
from edgenn.runtime.model import Model, load
from edgenn.runtime.pipeline import Pipeline
from edgenn.runtime.sinks import Sink

if TYPE_CHECKING:
    from edgenn.runtime.update.updater import Updater

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_YEAR_S = 366 * 86400.0


def _seconds(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """Seconds of a text such as 90s, 10m, 2h or 1d, a year at most."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([smhd])", value)
    seconds = float(found[1]) * _UNITS[found[2]] if found is not None else 0.0
    if not 0 < seconds <= _YEAR_S:  # no thread can wait for much longer
        raise click.BadParameter(f"{value!r} is no time such as 90s, 10m, 2h or 1d", ctx, param)
    return seconds


class Origin:
    """Where the model of a run comes from.

    Attributes:
        model: To begin with.
        path: What it was loaded from, as `edgenn.load` takes it.
    """

    def __init__(
        self, model: Model, path: str, updater: Updater | None = None, serial: int = 0
    ) -> None:
        self.model, self.path, self._updater, self._serial = model, path, updater, serial

    def follow(self, pipeline: Pipeline) -> contextlib.AbstractContextManager[Any]:
        """Look for newer ones while it is entered, if that was asked for."""
        if self._updater is None:
            return contextlib.nullcontext()
        return self._updater.follow(pipeline)

    def about(self) -> dict[str, Any]:
        """Name, serial and slot of what runs."""
        if self._updater is None:
            return {"bundle": self.model.manifest.name, "serial": self._serial, "slot": ""}
        return self._updater.about()


@dataclass(frozen=True, slots=True)
class UpdateFlags:
    """The flags as the user gave them; None, or nothing, where he did not."""

    require_key: tuple[Path, ...]
    revoked: Path | None
    bundle_url: str | None
    poll: float
    trial: float
    slots: Path | None
    device_id: str | None
    allow_unsigned: bool
    mqtt_state: str | None

    def check(self, fallback: str | None) -> None:
        """Refuse flags that do not go together.

        Raises:
            UsageError: Names them.
        """
        if self.revoked is not None and not self.require_key:
            raise UsageError("--revoked is of no use without --require-key")
        if self.allow_unsigned and self.require_key:
            raise UsageError("--allow-unsigned and --require-key exclude each other")
        if self.bundle_url is None:
            if self.slots is not None or self.allow_unsigned:
                flag = "--slots" if self.slots is not None else "--allow-unsigned"
                raise UsageError(f"{flag} is of no use without --bundle-url")
            return
        if not self.require_key and not self.allow_unsigned:
            raise UsageError(
                "--bundle-url needs --require-key, or --allow-unsigned where whoever controls the "
                "server may decide what runs here"
            )
        if fallback is not None:
            raise UsageError("--fallback would not fit what --bundle-url brings; leave out one")

    def load(
        self,
        model: str | None,
        default: str,
        fallback: str | None,
        stack: contextlib.ExitStack,
        **wishes: Any,  # noqa: ANN401  load's own
    ) -> Origin:
        """Load the model, once it is trusted.

        Args:
            model: As the user named it.
            default: What is meant where he did not and no server is asked.
            fallback: The smaller model, which has to be as trustworthy.
            stack: Lets go of what is held.
            wishes: As `edgenn.load` takes them.

        Raises:
            TrustError: It is not signed as wanted.
            EdgennError: It cannot be loaded.
        """
        if self.bundle_url is not None:
            return self._updated(model, stack, wishes)
        policy = policy_of(self.require_key, self.revoked)
        path = model or default
        if policy is None:
            return Origin(load(path, **wishes), path)
        return self._trusted(policy, path, fallback, wishes)

    def report(
        self, outputs: OutputFlags, origin: Origin, stack: contextlib.ExitStack
    ) -> list[Sink]:
        """What tells a broker how the device is, if that was asked for.

        Args:
            outputs: Name the broker of the results, which is meant where only a topic is given.
            origin: Knows what runs.
            stack: Owns it.

        Raises:
            UsageError: No broker or no topic.
            MissingExtraError: The package paho-mqtt is not installed.
        """
        if self.mqtt_state is None:
            return []
        mqtt = plugins.load(sinks, "mqtt")
        from edgenn.runtime.update.device import device_id
        from edgenn.runtime.update.report import Reporter

        device = device_id(self.device_id)
        wanted = self.mqtt_state.replace("{device}", device)
        if "://" not in wanted and outputs.mqtt is None:
            raise UsageError("--mqtt-state wants mqtt://host/topic, or a topic beside --mqtt")
        if "://" in wanted:
            address = mqtt.parse(wanted)
        else:
            address = mqtt.parse(outputs.mqtt)
            name = address.name.removesuffix(f"/{address.topic}")
            # Through the same check as any other topic.
            topic = mqtt.parse(f"{name}/{quote(wanted)}").topic
            address = address._replace(topic=topic, name=f"{name}/{topic}")
        tls = None
        if address.tls:
            tls = mqtt.tls_context(outputs.mqtt_ca, outputs.mqtt_cert, outputs.mqtt_key)
        made = Reporter(address, device, origin.about, tls=tls)
        stack.callback(made.close)
        return [made]

    def _trusted(
        self, policy: Policy, path: str, fallback: str | None, wishes: dict[str, Any]
    ) -> Origin:
        from edgenn.runtime.update import serials
        from edgenn.runtime.update.device import SERIALS, state_folder
        from edgenn.runtime.update.loader import Loader

        file = state_folder() / SERIALS
        if fallback is not None:
            policy.open(resolve(fallback))
        trusted = _not_older(policy, path, file)
        said = trusted.statement
        loaded = Loader(**wishes).load(trusted.bundle)
        serials.remember(file, said.name, said.serial)
        return Origin(loaded, path, serial=said.serial)

    def _updated(
        self, model: str | None, stack: contextlib.ExitStack, wishes: dict[str, Any]
    ) -> Origin:
        from edgenn.runtime.update._http import check_url
        from edgenn.runtime.update.device import SERIALS, device_id, state_folder
        from edgenn.runtime.update.loader import Loader
        from edgenn.runtime.update.slots import Slots
        from edgenn.runtime.update.trial import Rules
        from edgenn.runtime.update.updater import Updater

        assert self.bundle_url is not None
        check_url(self.bundle_url, "--bundle-url")
        policy = policy_of(self.require_key, self.revoked)
        loader = Loader(**wishes)
        device = device_id(self.device_id)
        slots = Slots(self.slots or state_folder() / "slots")
        stack.callback(slots.close)
        ledger = state_folder() / SERIALS
        updater = Updater(
            self.bundle_url,
            slots,
            policy,
            device,
            loader,
            poll_s=self.poll,
            rules=Rules(trial_s=self.trial),
            ledger=None if policy is None else ledger,
        )

        def factory() -> tuple[Model, int]:
            assert model is not None
            if policy is None:
                return load(model, **wishes), 0
            trusted = _not_older(policy, model, ledger)
            return loader.load(trusted.bundle), trusted.statement.serial

        loaded = updater.start_with(None if model is None else factory)
        path = str(slots.folder / f"{updater.slot}.edgenn") if updater.slot else str(model)
        return Origin(loaded, path, updater)


def _not_older(policy: Policy, path: str, ledger: Path) -> Trusted:
    """Open a bundle that is trusted, and not older than what ran on this device before.

    Raises:
        TrustError: It is neither.
    """
    from edgenn.runtime.update import serials

    trusted = policy.open(resolve(path))
    said = trusted.statement
    floor = serials.floor(ledger, said.name)
    return trusted if said.serial >= floor else policy.open(resolve(path), floor=floor)


def policy_of(keys: tuple[Path, ...], revoked: Path | None) -> Policy | None:
    """What bundles have to bring; None where no key is wanted.

    Raises:
        UsageError: A file is no public key.
        TrustError: The list of what is revoked cannot be read.
    """
    if not keys:
        return None
    if revoked is not None:
        read_revoked(revoked)  # a mistake in it is told before anything is loaded
    return Policy(tuple(read_public(key) for key in keys), list_file=revoked)


KEY_OPTIONS = (
    click.option(
        "--require-key",
        multiple=True,
        metavar="PUB",
        type=click.Path(path_type=Path),
        help="Only bundles signed with this key, from edgenn key new; again for any of several.",
    ),
    click.option(
        "--revoked",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="JSON with keys and bundles that count for nothing.",
    ),
)

update_options = gathered(
    UpdateFlags,
    "updates",
    *KEY_OPTIONS,
    click.option("--bundle-url", metavar="URL", help="index.json of newer bundles, to follow."),
    click.option(
        "--poll",
        callback=_seconds,
        metavar="TIME",
        default="10m",
        show_default=True,
        help="How often it is read.",
    ),
    click.option(
        "--trial",
        callback=_seconds,
        metavar="TIME",
        default="60s",
        show_default=True,
        help="How long a new bundle is watched before it stays.",
    ),
    click.option(
        "--slots",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Where bundles are kept.  [XDG state folder]",
    ),
    click.option("--device-id", metavar="ID", help="Name of this device.  [from /etc/machine-id]"),
    click.option(
        "--mqtt-state",
        metavar="TOPIC|URL",
        help="Tell a broker how this device is: a topic of --mqtt, or mqtt[s]://host/topic, such "
        "as edgenn/{device}/state.",
    ),
    click.option("--allow-unsigned", is_flag=True, help="Take what the server has, unsigned."),
    title="Trust and updates",
)
