"""A connection to one device: the system's ssh, which never asks, and its far end in Python."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from edgenn.errors import DeployError, UsageError

_ALIVE_S = 5.0
# Of an rsync that does not know an option, or does not speak with the other one.
_OTHER_RSYNC = (1, 2)
# In the order in which they import each other.
_MODULES = ("talk", "service", "probe", "release", "judge", "agent")
_PYTHONS = ("python3", "python3.13", "python3.12", "python3.11", "python3.10")
# Both travel through the login shell of the device: one line, without ' and !.
_FIND = (
    'for p in "$@"; do '
    'if "$p" -I -c "import sys; sys.exit(sys.version_info < (3, 10))" 2>/dev/null; '
    'then exec "$p" -I -u -c "$0"; fi; '
    'v=$("$p" -I -c "import platform; print(platform.python_version())" 2>/dev/null) && old=$v; '
    'done; echo "{\\"old\\": \\"$old\\"}"'
)
_BOOT = "import json, sys; exec(json.loads(sys.stdin.buffer.readline()))"
_LOADER = """
import json, sys, types
for name, text in json.loads({sources!r}):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = []
    exec(compile(text, name, "exec"), module.__dict__)
sys.modules["edgenn.deploy.remote.agent"].main()
"""
_LOST = "the connection was lost; the device puts back by itself what ran before"
_FAULTS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is another one than before; find out "
     "why, then remove the old one by 'ssh-keygen -R'"),
    ("Host key verification failed", "its host key is not known; connect once by 'ssh {host}' and "
     "compare the fingerprint"),
    ("Permission denied", "it accepts none of your keys; install one by 'ssh-copy-id {host}'"),
    ("Could not resolve hostname", "there is no device of that name in the network"),
    ("Connection refused", "it answers, but runs no ssh server on that port"),
    ("No route to host", "there is no route to it; is it on, and in this network?"),
    ("Network is unreachable", "there is no route to it; is it on, and in this network?"),
    ("timed out", "it does not answer; is it on, and in this network?"),
    ("closed by remote host", _LOST),
    ("Broken pipe", _LOST),
    ("Connection reset", _LOST),
)  # fmt: skip


class Connection:
    """One device.

    Args:
        host: As ssh takes it: ``[user@]host``, or a name from its configuration.
        folder: For the socket of the shared connection; a short path.
        config: Configuration of ssh; None takes the user's.
        python: Interpreter on the device; None looks for one.

    Raises:
        UsageError: The host is no such name.
        DeployError: This machine has no ssh.
    """

    def __init__(self, host: str, folder: Path, config: Path | None, python: str | None) -> None:
        if not re.fullmatch(r"(?![-@])[\w.@%:\[\]-]+", host):
            raise UsageError(f"{host!r} is no host; write USER@HOST, or a name from ~/.ssh/config")
        if shutil.which("ssh") is None:
            raise DeployError("ssh is not installed here; install the OpenSSH client")
        self.host = host
        self._pythons = (python,) if python else _PYTHONS
        options = ["BatchMode=yes", "ConnectTimeout=15", "ServerAliveInterval=15"]
        options += ["ServerAliveCountMax=4", "ControlMaster=auto", "ControlPersist=no"]
        options += [f"ControlPath={folder}/%C", "LogLevel=ERROR"]
        self._ssh = ["ssh", "-T", *(["-F", str(config)] if config else [])]
        self._ssh += [part for option in options for part in ("-o", option)]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with the connection
        self._writing = threading.Lock()
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def open(self) -> None:
        """Connect and start the far end; nothing is written there.

        Raises:
            DeployError: Not reached, not let in, or no Python there.
        """
        remote = shlex.join(["exec", "sh", "-c", _FIND, _BOOT, *self._pythons])
        self._process = subprocess.Popen(  # noqa: S603  no shell
            [*self._ssh, self.host, remote],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for this process; the device has time to go back
        )
        self._send(json.dumps(_LOADER.format(sources=json.dumps(_sources()))))
        answer = self._receive()
        if "old" in answer:
            where = f" at {self._pythons[0]}" if len(self._pythons) == 1 else ""
            found = f"Python {answer['old']}" if answer["old"] else f"no Python{where}"
            raise DeployError(
                f"{self.host}: there is {found} and edgenn needs 3.10 or newer; install it, or "
                "name one by --python"
            )
        threading.Thread(target=self._stay_alive, daemon=True).start()

    def ask(self, action: str, **values: object) -> Any:  # noqa: ANN401  what the far end gives
        """Have something done there; see `edgenn.deploy.remote.agent.Agent`.

        Raises:
            DeployError: It cannot be done, or the connection is lost.
        """
        self._send(json.dumps({"do": action, "with": values}))
        answer = self._receive()
        if "error" in answer:
            raise DeployError(f"{self.host}: {answer['error']}")
        return answer["ok"]

    def upload(self, paths: Sequence[Path], folder: str, *, rsync: bool) -> None:
        """Copy files and folders into a folder there.

        Args:
            paths: What to copy; their names are kept.
            folder: There; it exists.
            rsync: The device has it, so what is there already is not sent again.

        Raises:
            DeployError: The copy failed.
        """
        if rsync and shutil.which("rsync"):
            command = ["rsync", "-rt", "--partial", "--protect-args", "-e", shlex.join(self._ssh)]
            code, said = self._copy([*command, *map(str, paths), f"{self.host}:{folder}/"], None)
            if code not in _OTHER_RSYNC:
                self._must(code, said)
                return
        parts = [part for path in paths for part in ("-C", str(path.parent), path.name)]
        packing = ["tar", "-cf", "-", *parts]
        with subprocess.Popen(  # noqa: S603  no shell
            packing, stdout=subprocess.PIPE, start_new_session=True
        ) as tar:
            remote = shlex.join(["tar", "-xf", "-", "-C", folder])
            self._must(*self._copy([*self._ssh, self.host, remote], tar))

    def hang_up(self) -> None:
        """Tell the device that nobody waits any more; it puts things back by itself."""
        self._over.set()
        with self._writing, contextlib.suppress(OSError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()

    def abandon(self) -> None:
        """End it at once, without waiting for the device."""
        self._over.set()
        if self._process is not None:
            self._process.kill()

    def close(self, wait: float) -> None:
        """End the connection.

        Args:
            wait: Seconds for the device to end what it does.
        """
        self.hang_up()
        if self._process is not None:
            try:
                self._process.wait(wait)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
        self._errors.close()

    def _send(self, text: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with self._writing, contextlib.suppress(OSError, ValueError):  # the answer will say why
            self._process.stdin.write(text.encode() + b"\n")
            self._process.stdin.flush()

    def _receive(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        while text and not text.startswith(b"{"):  # what a login script has to say
            text = self._process.stdout.readline()
        if text:
            answer: dict[str, Any] = json.loads(text)
            return answer
        self._process.wait()
        self._errors.seek(0)
        raise DeployError(f"{self.host}: {self._fault(self._errors.read())}")

    def _fault(self, errors: bytes) -> str:
        if self._over.is_set():
            return "interrupted; what ran before runs on"
        text = errors.decode(errors="replace")
        for sign, sentence in _FAULTS:
            if sign in text:
                return sentence.format(host=self.host)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return f"the connection ended: {lines[-1]}" if lines else _LOST

    def _copy(
        self, command: list[str], source: subprocess.Popen[bytes] | None
    ) -> tuple[int, list[str]]:
        """Exit code of a copying program, and the lines that it complained in."""
        with subprocess.Popen(  # noqa: S603  no shell
            command,
            stdin=subprocess.DEVNULL if source is None else source.stdout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            while True:
                try:
                    _, errors = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    if self._over.is_set():
                        process.kill()
        return process.returncode, errors.decode(errors="replace").strip().splitlines()

    def _must(self, code: int, said: list[str]) -> None:
        if code:
            fault = self._fault(b"") if self._over.is_set() else (said or ["no reason given"])[0]
            raise DeployError(f"{self.host}: copying failed: {fault}")

    def _stay_alive(self) -> None:
        while not self._over.wait(_ALIVE_S):
            self._send("")


def _sources() -> list[tuple[str, str]]:
    """Name and text of every module that the far end needs, the packages above them empty."""
    package = "edgenn.deploy.remote"
    found = [(name, "") for name in ("edgenn", "edgenn.deploy", package)]
    for name in _MODULES:
        text = resources.files(package).joinpath(f"{name}.py").read_text(encoding="utf-8")
        found.append((f"{package}.{name}", text))
    return found
