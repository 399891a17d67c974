from __future__ import annotations

import re

import pytest

from edgenn.deploy.ssh import Connection
from edgenn.errors import DeployError, UsageError


@pytest.fixture(scope="module")
def hall(make_device):
    return make_device("hall")


@pytest.fixture
def fault(grounds):
    """What is wrong with a connection, as a sentence."""

    def fault(host, config, python=None):
        connection = Connection(host, grounds, config, python)
        try:
            with pytest.raises(DeployError) as caught:
                connection.open()
        finally:
            connection.close(10)
        return str(caught.value)

    return fault


def changed(hall, path, pattern, text):
    """The configuration of ssh with one setting changed."""
    path.write_text(re.sub(pattern, text, hall.config.read_text()))
    return path


@pytest.mark.parametrize(
    ("pattern", "text", "sentence"),
    [
        ("Port .*", "Port 1", "it answers, but runs no ssh server on that port"),
        (
            "KnownHostsFile .*known",
            "KnownHostsFile /dev/null",
            "its host key is not known; connect",
        ),
        (
            "IdentityFile .*",
            "IdentityFile /dev/null",
            "it accepts none of your keys; install one by 'ssh-copy-id hall",
        ),
        ("HostName .*", "HostName no-such.invalid", "there is no device of that name"),
    ],
)
def test_a_device_that_is_not_reached(hall, fault, tmp_path, pattern, text, sentence):
    config = changed(hall, tmp_path / "config", pattern, text)
    assert fault("hall", config).startswith(f"hall: {sentence}")


def test_a_python_that_is_too_old_and_none_at_all(hall, fault):
    old = hall.home / "bin/python3.8"
    old.write_text('#!/bin/sh\ncase "$*" in *version_info*) exit 1;; esac\necho 3.8.20\n')
    old.chmod(0o755)
    assert "there is Python 3.8.20 and edgenn needs 3.10" in fault("hall", hall.config, str(old))
    assert "there is no Python at /no/python and" in fault("hall", hall.config, "/no/python")


def test_what_a_login_script_prints_is_no_answer(hall, grounds):
    (hall.home / "bin/sh").write_text('#!/bin/sh\necho welcome; exec /bin/sh "$@"\n')
    (hall.home / "bin/sh").chmod(0o755)
    connection = Connection("hall", grounds, hall.config, None)
    try:
        connection.open()
        assert connection.ask("has_venv", base="/tmp", key="none") is False
    finally:
        connection.close(10)
        (hall.home / "bin/sh").unlink()


def test_a_json_py_in_the_home_is_not_imported(hall, grounds):
    (hall.home / "json.py").write_text("raise SystemExit(3)\n")
    connection = Connection("hall", grounds, hall.config, None)
    try:
        connection.open()
        facts = connection.ask("probe", name="x", scope="auto")
        assert facts["user"] == hall.user
        assert facts["base"] == str(hall.base("x"))
        assert facts["systemd"]
    finally:
        connection.close(10)


def test_a_device_without_systemd_says_so(make_device, grounds):
    bare = make_device("bare", "sh")
    (bare.home / "bin/systemctl").unlink()
    connection = Connection("bare", grounds, bare.config, None)
    try:
        connection.open()
        assert connection.ask("probe", name="x", scope="user")["systemd"] is False
    finally:
        connection.close(10)


def test_a_host_cannot_be_an_option(tmp_path):
    with pytest.raises(UsageError, match="is no host"):
        Connection("-oProxyCommand=touch", tmp_path, None, None)


def test_without_ssh_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match="ssh is not installed here"):
        Connection("hall", tmp_path, None, None)
