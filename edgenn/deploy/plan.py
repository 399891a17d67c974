"""What is to be done on one device, as data: a dry run prints what a real one does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from edgenn.deploy.cargo import Cargo
from edgenn.errors import DeployError

# The device install takes just under 300 MB, and its wheels are unpacked from copies.
_INSTALL_MB = 500
_MACHINES = ("x86_64", "aarch64", "armv7l")
UPLOAD = "upload"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants on every device.

    Attributes:
        name: Of the deployment.
        cargo: What is brought.
        arguments: Of ``edgenn run``, after the model.
        variants: Those to choose from: ``file``, ``engine`` and ``precision`` of each.
        service: Whether systemd is to run it.
        scope: "auto", "user" or "system".
        extras: Of edgenn, such as "mqtt".
        timeout: Seconds in which the service must be ready.
        settle: Seconds that it must stay ready.
        who: For whom another deployment has to wait.
    """

    name: str
    cargo: Cargo
    arguments: tuple[str, ...]
    variants: tuple[Mapping[str, str], ...]
    service: bool
    scope: str
    extras: tuple[str, ...]
    timeout: float
    settle: float
    who: str


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes:
        text: For the user.
        action: Method of the far end's ``Agent``, or `UPLOAD`.
        values: Its arguments.
        files: What is copied.
    """

    text: str
    action: str
    values: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def check(host: str, facts: Mapping[str, Any], wish: Wish, *, has_venv: bool) -> None:
    """Refuse a device that cannot do it, before anything is touched.

    Args:
        host: For the message.
        facts: What `edgenn.deploy.remote.probe` found.
        wish: What is wanted.
        has_venv: The environment is there already.

    Raises:
        DeployError: One sentence on the first thing that is in the way.
    """
    wanted = (0 if has_venv else _INSTALL_MB) + 3 * (wish.cargo.size >> 20) + 10
    version = ".".join(facts["python"].split(".")[:2])
    machine, base = facts["machine"], facts["base"]
    faults = {
        f"it is {facts['system']} on {machine}; edgenn runs on Linux on {', '.join(_MACHINES)}": (
            facts["system"] != "Linux" or machine not in _MACHINES
        ),
        f"its Python is of 32 bits on {machine}, for which there are no packages; install a "
        "64-bit system": facts["bits"] == 32 and machine != "armv7l",
        f"its Python has no venv; install it there by 'sudo apt install python{version}-venv'": (
            not facts["venv"]
        ),
        f"{facts['free_mb']} MB are free for {base}, {wanted} MB are needed": (
            facts["free_mb"] < wanted
        ),
        f"{facts['user']} may not write to {base}: log in as root, allow 'sudo -n', or take "
        "--scope user": not facts["writable"],
        "it has no systemd that answers to this user; leave --service out, or take --scope "
        "system": wish.service and not facts["systemd"],
        f"{wish.name} runs as a service there; add --service, or take another --name": (
            facts["unit"] and not wish.service
        ),
    }
    for sentence, met in faults.items():
        if met:
            raise DeployError(f"{host}: {sentence}")


def venv_key(facts: Mapping[str, Any], wish: Wish) -> str:
    """Name of the environment there: equal for equal content."""
    what = [wish.cargo.wheel_hash, wish.cargo.wheelhouse_hash, sorted(wish.extras)]
    return _digest([*what, facts["python"], facts["executable"], facts["picamera2"]])[:16]


def fingerprint(facts: Mapping[str, Any], wish: Wish) -> str:
    """Equal where there is nothing to do."""
    variants = [dict(variant) for variant in wish.variants]
    what = [venv_key(facts, wish), wish.cargo.bundle_hash, list(wish.arguments), variants]
    return _digest([*what, facts["scope"], unit_template() if wish.service else ""])


def done(facts: Mapping[str, Any], wish: Wish) -> bool:
    """Whether the device has exactly that, and runs it where it is to be a service."""
    same = facts["fingerprint"] == fingerprint(facts, wish)
    return bool(same and (facts["active"] or not wish.service))


def steps(facts: Mapping[str, Any], wish: Wish, *, has_venv: bool) -> list[Step]:
    """All that is to be done, in order.

    Args:
        facts: What `edgenn.deploy.remote.probe` found.
        wish: What is wanted.
        has_venv: The environment is there already.
    """
    cargo, base, key = wish.cargo, facts["base"], venv_key(facts, wish)
    place = {"name": wish.name, "scope": facts["scope"], "base": base}
    files: tuple[Path, ...] = (cargo.bundle,) if has_venv else (cargo.bundle, cargo.wheel)
    if cargo.wheelhouse is not None and not has_venv:
        wheels = sorted(cargo.wheelhouse.glob("*.whl"))
        files += tuple(path for path in wheels if path.name != cargo.wheel.name)
    plan = [Step(f"lock {base}", "lock", {**place, "who": wish.who})]
    names = ", ".join(path.name for path in files[:2]) + (" and the wheelhouse" * (len(files) > 2))
    plan.append(Step(f"copy {names}", UPLOAD, {"folder": f"{base}/incoming"}, files))
    if not has_venv:
        plan.append(_venv(facts, wish, key))
    release = {"venv": key, "bundle": cargo.bundle.name, "sha256": cargo.bundle_hash}
    own = fingerprint(facts, wish)
    plan += [
        Step(f"make a release in {base}/releases", "stage", {**release, "fingerprint": own}),
        Step("ask edgenn doctor, if there is one", "doctor"),
        Step("verify the golden samples there", "verify"),
        Step(
            "time the variants and take the fastest",
            "measure",
            {"variants": [dict(variant) for variant in wish.variants]},
        ),
        _activate(facts, wish, own),
        Step("remove releases but this and the one before", "prune"),
    ]
    return plan


def unit_template() -> str:
    """Text of the systemd unit, to be filled in on the device."""
    file = resources.files("edgenn.deploy").joinpath("edgenn.service")
    return file.read_text(encoding="utf-8")


def _venv(facts: Mapping[str, Any], wish: Wish, key: str) -> Step:
    site = " that sees the system's packages, for picamera2" if facts["picamera2"] else ""
    source = "the wheelhouse" if wish.cargo.wheelhouse is not None else "its package index"
    values = {
        "key": key,
        "wheel": wish.cargo.wheel.name,
        "wheelhouse": wish.cargo.wheelhouse is not None,
        "extras": list(wish.extras),
        "python": facts["executable"],
        "system_site": facts["picamera2"],
    }
    text = f"install {wish.cargo.wheel.name} with Python {facts['python']} and {source}"
    return Step(f"{text} in an environment{site}" if site else text, "venv", values)


def _activate(facts: Mapping[str, Any], wish: Wish, own: str) -> Step:
    values = {
        "arguments": list(wish.arguments),
        "fingerprint": own,
        "unit": unit_template() if wish.service else "",
        "timeout": wish.timeout,
        "settle": wish.settle,
    }
    text = f"switch {facts['base']}/current"
    if wish.service:
        back = facts["release"] or "nothing"
        text += (
            f", restart edgenn-{wish.name}.service ({facts['scope']}), go back to {back} unless "
            f"it is ready within {wish.timeout:.0f} s and for {wish.settle:.0f} s"
        )
    return Step(text, "activate", values)


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
