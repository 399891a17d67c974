from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from edgenn import errors
from edgenn.cli.run import command as run
from edgenn.runtime import devices

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = ("edgenn.service", "edgenn@.service")
# Of 10, as systemd counts it: less is better. Devices and the network are what it is for.
EXPOSURE = 2.0

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze"
)


def lines(name):
    """Settings of a unit: key to its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


@pytest.fixture
def installed(tmp_path):
    """The units as systemd finds them, with a program that exists here, and its environment."""
    for name in UNITS:
        text = (DEPLOY / name).read_text()
        (tmp_path / name).write_text(text.replace("/opt/edgenn/bin/edgenn", "/bin/true"))
        shutil.copytree(DEPLOY / "edgenn.service.d", tmp_path / f"{name}.d")
    return {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}


def analyze(env, *args):
    return subprocess.run(
        ["systemd-analyze", *args], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands_every_line(installed, unit):
    done = analyze(installed, "verify", "--man=no", unit.replace("@", "@door"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_little_exposed(tmp_path, unit):
    # Jetson's settings, which open more, are not meant.
    path = shutil.copy(DEPLOY / unit, tmp_path)
    done = analyze(os.environ, "security", "--offline=true", "--no-pager", path)
    level = re.search(r"Overall exposure level.*?: ([\d.]+)", done.stdout)
    assert level, done.stdout + done.stderr
    assert float(level[1]) <= EXPOSURE


def test_the_two_units_are_the_same_but_for_names_and_shares():
    one, many = (lines(name) for name in UNITS)
    differ = {key for key in one.keys() | many.keys() if one.get(key) != many.get(key)}
    assert differ == {
        "Description", "EnvironmentFile", "Environment", "StateDirectory", "WorkingDirectory",
        "MemoryHigh", "MemoryMax",
    }  # fmt: skip
    assert {key: values[0].replace("/%i", "") for key, values in many.items()}[
        "WorkingDirectory"
    ] == one["WorkingDirectory"][0]


def test_a_run_that_fails_is_started_for_ever_and_a_wrong_one_is_not():
    unit = lines("edgenn.service")
    every, most = (int(unit[key][0]) for key in ("StartLimitIntervalSec", "StartLimitBurst"))
    assert unit["Restart"] == ["always"]
    assert most * int(unit["RestartSec"][0]) > every
    final = {int(code) for code in unit["RestartPreventExitStatus"][0].split()}
    kinds = (errors.UsageError, errors.MissingExtraError, errors.RecipeError, errors.ModelError)
    assert final == {kind.exit_code for kind in kinds}
    assert errors.SourceError.exit_code not in final


def test_the_groups_of_the_unit_are_those_that_are_made_and_that_udev_gives():
    (groups,) = lines("edgenn.service")["SupplementaryGroups"]
    user = (DEPLOY / "sysusers.d/edgenn.conf").read_text()
    assert set(groups.split()) == set(re.findall(r"^m edgenn (\w+)$", user, re.M))
    # Those that Debian makes by itself.
    made = {"video", "dialout", *re.findall(r"^g (\w+) -$", user, re.M)}
    assert set(groups.split()) <= made
    rules = (DEPLOY / "udev/99-edgenn.rules").read_text()
    given = re.findall(r'^SUBSYSTEM==.*GROUP="(\w+)", MODE="0660"$', rules, re.M)
    assert set(given) == set(groups.split())


def test_every_serial_port_that_is_listed_may_be_opened():
    allowed = {value.split()[0] for value in lines("edgenn.service")["DeviceAllow"]}
    for pattern in devices.PORTS:
        assert f"char-{pattern.rstrip('*')}" in allowed


def test_the_arguments_in_the_environment_file_are_what_run_takes():
    text = (DEPLOY / "edgenn.env").read_text()
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", text, re.M))
    (arguments,) = shlex.split(values["EDGENN_ARGS"])
    with click.Context(run) as context:
        run.parse_args(context, shlex.split(arguments))
    assert (context.params["camera"], context.params["out"]) == ("0", "log.jsonl")
