"""The systemd unit of a deployment: installed, started, and watched until it is healthy."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from time import monotonic

from edgenn.deploy.remote.talk import Line, RefusedError, last_line

_PROPERTIES = "ActiveState,SubState,MainPID,NRestarts,Result,StatusText"
_EVERY_S = 0.25
# What a user's manager cannot do. Devices must stay: cameras, pins and buses are among them.
_HARDENING = """ProtectSystem=full
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictSUIDSGID=yes"""


class Service:
    """One unit, of the user or of the system.

    Args:
        line: Runs the commands.
        name: Of the deployment; the unit is ``edgenn-NAME.service``.
        scope: "user" or "system".
        base: Folder of the deployment.

    Attributes:
        path: The unit file.
    """

    def __init__(self, line: Line, name: str, scope: str, base: Path) -> None:
        self._line, self._base, self._user = line, base, scope == "user"
        self._unit = f"edgenn-{name}.service"
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
        folder = config / "systemd/user" if self._user else Path("/etc/systemd/system")
        self.path = folder / self._unit
        self._sudo = [] if self._user or os.geteuid() == 0 else ["sudo", "-n"]
        # A login over ssh does not always have it, and without it the manager is not found.
        runtime = f"/run/user/{os.geteuid()}"
        self._env = {} if not self._user else {"XDG_RUNTIME_DIR": runtime}
        self._env.update({k: v for k, v in os.environ.items() if k == "XDG_RUNTIME_DIR" and v})

    def reachable(self) -> bool:
        """Whether a systemd manager answers; systemctl alone is also in containers."""
        if shutil.which("systemctl") is None:
            return False
        answer = self._ask("show", "--property=Version", "--value")
        return answer.returncode == 0 and bool(answer.stdout.strip())

    def state(self, *, heed: bool = True) -> dict[str, str]:
        """Properties of the unit by name; empty without systemd."""
        if shutil.which("systemctl") is None:
            return {}
        answer = self._ask("show", self._unit, f"--property={_PROPERTIES}", heed=heed)
        return dict(line.split("=", 1) for line in answer.stdout.splitlines() if "=" in line)

    def render(self, template: str) -> str:
        """The unit's text for this machine."""
        user = "" if self._user else f"User={pwd.getpwuid(os.geteuid()).pw_name}"
        # A percent sign begins a specifier. Only a command may be quoted, and then has escapes.
        folder = str(self._base).replace("%", "%%")
        base = folder.replace("\\", "\\\\").replace('"', '\\"')
        wanted = "default.target" if self._user else "multi-user.target"
        hardening = "" if self._user else _HARDENING
        values = {"user": user, "target": wanted, "hardening": hardening, "base": base}
        values |= {"folder": folder, "unit": self._unit}
        for key, value in values.items():
            template = template.replace("{" + key + "}", value)
        return template

    def text(self) -> str | None:
        """What the unit file says; None where there is none."""
        return self.path.read_text(encoding="utf-8") if self.path.exists() else None

    def install(self, text: str, *, heed: bool = True) -> None:
        """Write the unit file and have it started at boot.

        Raises:
            RefusedError: systemd does not take it.
        """
        if text != self.text():
            self._write(text, heed=heed)
        self._must("daemon-reload", heed=heed)
        self._must("enable", self._unit, heed=heed)
        if self._user and shutil.which("loginctl"):
            # Without it the service would end with the last login. Not every system allows it.
            self._line.run(["loginctl", "enable-linger"], env=self._env, heed=heed)

    def remove(self) -> None:
        """Stop it and forget it, whatever happens to the connection."""
        self._ask("disable", "--now", self._unit, heed=False)
        if self._sudo:
            self._line.run([*self._sudo, "rm", "-f", self.path], heed=False)
        else:
            self.path.unlink(missing_ok=True)
        self._ask("daemon-reload", heed=False)

    def stop(self) -> None:
        """End it, whatever happens to the connection."""
        self._ask("stop", self._unit, heed=False)

    def restart(self, *, heed: bool = True) -> None:
        """Start it anew, without waiting.

        Raises:
            RefusedError: systemd does not.
        """
        self._ask("reset-failed", self._unit, heed=heed)
        self._must("--no-block", "restart", self._unit, heed=heed)

    def wait(self, timeout: float, settle: float, *, heed: bool = True) -> str:
        """Wait until it has said that it is ready, and has stayed so.

        Args:
            timeout: Seconds until it must be ready.
            settle: Seconds that one process of it must stay ready.
            heed: Stop waiting when the other side is gone.

        Returns:
            Its own line of status.

        Raises:
            GoneError: The other side went away.
            RefusedError: It is not healthy; the message says why.
        """
        since: float | None = None
        until, pid, restarts = monotonic() + timeout, "", 1 << 30
        while True:
            self._line.pause(_EVERY_S, heed=heed)
            now = self.state(heed=heed)
            state, sub = now.get("ActiveState", "unknown"), now.get("SubState")
            # The count of before may be seen once, then it begins at 0.
            counted = int(now.get("NRestarts") or 0)
            if state == "failed" or sub == "auto-restart" or counted > restarts:
                raise RefusedError(f"the service ended: {self._last_words(now, heed=heed)}")
            restarts = counted
            ready = state == "active" and sub == "running"
            if not ready or now.get("MainPID") != pid:
                since = None
            if ready and since is None:
                since, pid = monotonic(), now.get("MainPID", "")
            if since is not None and monotonic() - since >= settle:
                return now.get("StatusText", "")
            if monotonic() > until + (settle if ready else 0):
                raise RefusedError(
                    f"the service was not ready within {timeout:.0f} s, it is {state}: "
                    f"{self._last_words(now, heed=heed)}"
                )

    def _last_words(self, state: dict[str, str], *, heed: bool) -> str:
        if shutil.which("journalctl") is not None:
            which = "--user-unit" if self._user else "--unit"
            command = [*self._sudo, "journalctl", which, self._unit, "-n", "40", "-o", "cat"]
            log = self._line.run(command, heed=heed)
            said = [text for text in log.stdout.splitlines() if text.startswith("edgenn: ")]
            if said:
                return said[-1].removeprefix("edgenn: ")
        return state.get("Result", "unknown")

    def _ask(self, *arguments: str, heed: bool = True) -> subprocess.CompletedProcess[str]:
        user = ["--user"] if self._user else []
        sudo = [] if arguments[0] == "show" else self._sudo  # anybody may look
        command = [*sudo, "systemctl", *user, *arguments]
        return self._line.run(command, env=self._env, heed=heed)

    def _must(self, *arguments: str, heed: bool) -> None:
        answer = self._ask(*arguments, heed=heed)
        if answer.returncode:
            said = last_line(answer.stderr)
            raise RefusedError(f"systemctl {' '.join(arguments)} failed: {said}")

    def _write(self, text: str, *, heed: bool) -> None:
        # Whole or not at all: half a unit would not start at the next boot.
        draft = (self._base if self._sudo else self.path.parent) / f".{self._unit}.new"
        draft.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        if not self._sudo:
            draft.replace(self.path)
            return
        command = [*self._sudo, "install", "-m", "644", str(draft), str(self.path)]
        answer = self._line.run(command, heed=heed)
        draft.unlink()
        if answer.returncode:
            raise RefusedError(f"cannot write {self.path}: {last_line(answer.stderr)}")
