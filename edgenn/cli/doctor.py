"""``edgenn doctor``: what this device is, and what on it is in the way."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from edgenn.errors import DeviceError
from edgenn.runtime.doctor import Report, examine
from edgenn.runtime.doctor.facts import Facts
from edgenn.runtime.doctor.modes import Mode


@click.command(short_help="Say what this device is and what is wrong with it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, described in docs/doctor.md.")
def command(as_json: bool) -> None:
    """Show board, processor, cameras, sensors and engines, and problems with the commands that
    mend them.

    The exit code is 0 without errors, whatever the warnings, and 12 with some.
    """
    report = examine()
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=1))
    else:
        for key, value in _lines(report.facts):
            click.echo(f"{key:<14}{value}".rstrip())
        _echo_problems(report)
    if report.errors:
        names = ", ".join(problem.id for problem in report.errors)
        raise DeviceError(f"this device has problems that must be mended: {names}")


def _echo_problems(report: Report) -> None:
    click.echo()
    if not report.problems:
        click.echo("no problems found")
    for problem in report.problems:
        click.echo(f"{problem.severity}: {problem.message}")
        click.echo(f"    {problem.fix}")


def _lines(facts: Facts) -> Iterator[tuple[str, str]]:
    """What is known, a line each; a key that goes on is left out."""
    yield from _machine(facts)
    yield from _ports(facts)
    yield from _packages(facts)
    unit = "a unit of edgenn" if facts.service.unit else "no unit of edgenn"
    yield "systemd", f"runs this system, {unit}" if facts.service.systemd else "no"


def _machine(facts: Facts) -> Iterator[tuple[str, str]]:
    system, cpu, memory, power = facts.system, facts.cpu, facts.memory, facts.power
    yield "board", system.board
    features = ", ".join(cpu.features) or "no features that matter here"
    yield "processor", f"{cpu.cores} x {cpu.name}: {features}"
    yield "system", f"{system.os}, Linux {system.kernel}, {system.machine}"
    if system.l4t:
        jetpack = f", JetPack {system.jetpack}" if system.jetpack else ""
        yield "Jetson Linux", f"{system.l4t}{jetpack}"
    where = f" in {system.venv}" if system.venv else ""
    yield "Python", f"{system.python}, {system.bits} bits{where}"
    swap = f", {memory.swap_mb} MB swap" if memory.swap_mb else ""
    yield "memory", f"{memory.available_mb} of {memory.total_mb} MB available{swap}"
    yield "storage", f"{facts.storage.free_mb} MB free at {facts.storage.path}"
    degrees = ", ".join(f"{name} {value:g} °C" for name, value in power.celsius.items())
    yield "temperature", degrees or "not known"
    yield "throttling", power.throttled or "none"
    if power.undervoltage:
        yield "undervoltage", power.undervoltage
    groups = ", ".join(facts.user.groups)
    yield "user", f"{facts.user.name}: {groups}"


def _ports(facts: Facts) -> Iterator[tuple[str, str]]:
    cameras = [camera for camera in facts.cameras if camera.captures is not False]
    if not cameras:
        yield "cameras", "none in V4L2"
    for camera in cameras:
        shut = "" if camera.usable else f", not open to this user (group {camera.group})"
        yield "camera", f"{camera.path} {camera.name}{shut}"
        for mode in camera.modes:
            yield "", f"  {_mode(mode)}"
    for device in facts.devices:
        shut = "" if device.usable else f", not open to this user (group {device.group})"
        yield device.kind, f"{device.address} {device.name}".rstrip() + shut


def _packages(facts: Facts) -> Iterator[tuple[str, str]]:
    software = facts.software
    for package in software.packages:
        notes = []
        if package.module == "onnxruntime":
            notes = [name.removesuffix("ExecutionProvider") for name in software.providers]
        if package.module == "cv2" and package.works:
            gui = "" if software.opencv_gui else "no "
            gst = "" if software.opencv_gstreamer else "no "
            notes = [", ".join(package.distributions), f"{gui}windows", f"{gst}GStreamer"]
        if not package.works:
            notes = [f"cannot be imported: {package.error}"]
        kind = "engine" if package in software.engines else "package"
        told = ", ".join(note for note in notes if note)
        yield kind, f"{package.module} {package.version}" + (f" ({told})" if told else "")
    elements = ", ".join(software.elements) or "no elements for ribbon-cable cameras"
    yield "GStreamer", f"gst-launch-1.0, {elements}" if software.gstreamer else "none"


def _mode(mode: Mode) -> str:
    rates = ", ".join(f"{fps:g}" for fps in mode.fps)
    return f"{mode.format} {mode.width}x{mode.height}" + (f" at {rates} fps" if rates else "")
