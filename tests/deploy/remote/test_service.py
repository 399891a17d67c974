from __future__ import annotations

import os

import pytest

from edgenn.deploy import plan
from edgenn.deploy.remote import service
from edgenn.deploy.remote.service import Service
from edgenn.deploy.remote.talk import RefusedError


@pytest.fixture
def called(tmp_path, monkeypatch):
    """Programs that only note how they were called, and sudo, which calls the others."""
    folder, log = tmp_path / "bin", tmp_path / "calls"
    folder.mkdir()
    texts = {
        "systemctl": f'echo "systemctl $*" >>{log}; cat {tmp_path}/state 2>/dev/null; true',
        "loginctl": f'echo "loginctl $*" >>{log}',
        "sudo": f'echo "sudo" >>{log}; shift; exec "$@"',
        "journalctl": "echo INFO all is well",
    }
    for name, text in texts.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: log.read_text().splitlines()


def test_a_unit_holds_odd_folders_and_what_each_manager_understands(line, tmp_path):
    base = tmp_path / 'a "50%" \\folder'
    texts = {
        scope: Service(line, "squares", scope, base).render(plan.unit_template())
        for scope in ("user", "system")
    }
    folder = str(base).replace("%", "%%")
    quoted = folder.replace("\\", "\\\\").replace('"', '\\"')
    for text in texts.values():
        assert f'ExecStart="{quoted}/current/start"\n' in text
        assert f"WorkingDirectory={folder}/data\n" in text
        assert "Type=notify\n" in text
        assert "WatchdogSec=30\n" in text
        assert "{" not in text
    assert "ProtectSystem" not in texts["user"]
    assert "User=" not in texts["user"]
    assert "WantedBy=multi-user.target" in texts["system"]


def test_who_is_not_root_installs_a_service_of_the_system_by_sudo(
    line, called, tmp_path, monkeypatch
):
    monkeypatch.setattr(service.os, "geteuid", lambda: 1000)
    unit = Service(line, "squares", "system", tmp_path)
    unit.path = tmp_path / "edgenn-squares.service"
    unit.install("[Unit]\n")
    assert unit.text() == "[Unit]\n"
    unit.restart()
    unit.remove()
    assert unit.text() is None
    calls = [text for text in called() if text != "sudo"]
    assert calls == [
        "systemctl daemon-reload",
        "systemctl enable edgenn-squares.service",
        "systemctl reset-failed edgenn-squares.service",
        "systemctl --no-block restart edgenn-squares.service",
        "systemctl disable --now edgenn-squares.service",
        "systemctl daemon-reload",
    ]
    assert called().count("sudo") == len(calls) + 2  # and the file comes and goes


def test_a_users_service_needs_no_login(line, called, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Service(line, "squares", "user", tmp_path).install("[Unit]\n")
    assert (tmp_path / "config/systemd/user/edgenn-squares.service").exists()
    assert called()[-1] == "loginctl enable-linger"
    assert "sudo" not in called()


@pytest.fixture
def state(called, tmp_path):
    """Sets what systemctl shows."""

    def state(active, sub, restarts, pid=7):
        (tmp_path / "state").write_text(
            f"ActiveState={active}\nSubState={sub}\nMainPID={pid}\nNRestarts={restarts}\n"
            "Result=exit-code\nStatusText=20 done = fine\n"
        )

    return state


def test_healthy_is_what_is_ready_and_stays_so(line, state, tmp_path):
    state("active", "running", 3)
    unit = Service(line, "squares", "user", tmp_path)
    assert unit.wait(timeout=1, settle=0.3) == "20 done = fine"


@pytest.mark.parametrize(
    ("shown", "reason"),
    [
        (("failed", "failed", 0), "the service ended: exit-code"),
        (("activating", "auto-restart", 1), "the service ended: exit-code"),
        (("activating", "start", 0), "the service was not ready within 1 s, it is activating"),
        (("inactive", "dead", 0), "the service was not ready within 1 s, it is inactive"),
    ],
)
def test_what_is_not_healthy(line, state, tmp_path, shown, reason):
    state(*shown)
    with pytest.raises(RefusedError, match=reason):
        Service(line, "squares", "user", tmp_path).wait(timeout=1, settle=0.3)


def test_a_service_that_is_started_again_meanwhile_is_not_healthy(line, state, tmp_path):
    state("active", "running", 0)
    unit = Service(line, "squares", "user", tmp_path)
    looks = []

    def pause(seconds, *, heed):
        looks.append(seconds)
        if len(looks) == 3:
            state("active", "running", 1, pid=8)

    line.pause = pause
    with pytest.raises(RefusedError, match="the service ended"):
        unit.wait(timeout=5, settle=60)
