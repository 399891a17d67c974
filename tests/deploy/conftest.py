"""Devices on the loopback: users of their own, each with an sshd, a Python and a systemctl."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import pytest

import edgenn

HERE = Path(__file__).parent
QUIET = {"stdout": subprocess.DEVNULL}
LEFT_OUT = {"compress", "data", "export", "nets", "recipe", "train"}
SSHD = Path("/usr/sbin/sshd")


@dataclass
class Device:
    """One device.

    Attributes:
        name: By which the ssh configuration knows it.
        home: Of its user.
        config: The ssh configuration.
        user: Name of its user.
    """

    name: str
    home: Path
    config: Path
    user: str
    processes: list[subprocess.Popen] = field(default_factory=list)

    def base(self, name: str) -> Path:
        return self.home / ".local/share/edgenn" / name

    def current(self, name: str) -> str:
        """Name of the release that counts."""
        return (self.base(name) / "current").resolve().name

    def state(self, name: str) -> dict:
        path = self.home / f".fake-systemd/edgenn-{name}.service.json"
        with contextlib.suppress(FileNotFoundError):
            return json.loads(path.read_text())
        return {}

    def runs(self, name: str) -> str:
        """Name of the release that the service's process was started from; empty if none."""
        pid = self.state(name).get("MainPID")
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            return next((Path(w).parent.name for w in words if w.endswith("/model.edgenn")), "")
        return ""

    def wait(self, met, seconds: float = 60.0) -> None:
        until = monotonic() + seconds
        while not met():
            assert monotonic() < until, "it did not happen in time"
            sleep(0.05)


@pytest.fixture(scope="module")
def grounds():
    """A folder that every user may read."""
    if os.geteuid() != 0:
        pytest.skip("devices are users of their own, and only root makes users")
    if not SSHD.exists():
        pytest.skip("there is no sshd: apt install openssh-server")
    folder = Path(tempfile.mkdtemp(prefix="edgenn-test-"))
    folder.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def python(grounds) -> Path:
    """A system's Python that has picamera2, and what edgenn needs, as if from apt.

    A copy, since the one that runs the tests may lie where other users may not look.
    """
    root, version = grounds / "python", f"python{sysconfig.get_python_version()}"
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(
        library,
        root / "lib" / version,
        ignore=shutil.ignore_patterns(
            "site-packages", "dist-packages", "test", "config-*", "idle*"
        ),
    )
    for shared in library.parent.glob("libpython*"):
        shutil.copy2(shared, root / "lib")
    program = root / "bin" / version
    program.parent.mkdir()
    shutil.copy2(Path(sys.executable).resolve(), program)
    site = root / "lib" / version / "site-packages"
    site.mkdir()
    (site / "apt.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (site / "picamera2.py").touch()
    return program


@pytest.fixture(scope="module")
def wheel(grounds) -> Path:
    """A wheel of the source tree, of what a device needs and without the built-in models."""
    path = grounds / f"edgenn-{edgenn.__version__}-py3-none-any.whl"
    info = f"edgenn-{edgenn.__version__}.dist-info"
    root = Path(edgenn.__file__).parent
    files = {
        f"edgenn/{file.relative_to(root)}": file.read_text(encoding="utf-8")
        for file in sorted(root.rglob("*"))
        if file.suffix in (".py", ".service") and not set(file.parts) & LEFT_OUT
    }
    files[f"{info}/METADATA"] = importlib.metadata.metadata("edgenn").as_string()
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = "[console_scripts]\nedgenn = edgenn.cli:main\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return path


@pytest.fixture(scope="module")
def make_device(grounds, python):
    """Makes devices; all share the interpreter and one ssh configuration.

    Where programs are named, the device has no others.
    """
    config, key = grounds / "config", grounds / "key"
    keygen(key)
    with contextlib.ExitStack() as stack:
        yield lambda name, *tools: stack.enter_context(
            device(name, tools, grounds, python, config, key)
        )


@contextlib.contextmanager
def device(name: str, tools, grounds: Path, python: Path, config: Path, key: Path):
    user = f"edgenn-{secrets.token_hex(4)}"
    home = grounds / name
    home.mkdir()
    # A star is no password, where none at all would lock the account for sshd.
    add = ["useradd", "-M", "-d", home, "-s", "/bin/sh", "-p", "*", user]
    subprocess.run(add, check=True, stdout=subprocess.DEVNULL)
    made = Device(name, home, config, user)
    try:
        furnish(made, tools, python, key)
        made.processes.append(serve(made, tools, grounds, python, config, key))
        yield made
    finally:
        for state in home.glob(".fake-systemd/*.json"):
            with contextlib.suppress(ProcessLookupError, KeyError):
                os.kill(json.loads(state.read_text())["supervisor"], signal.SIGTERM)
            made.wait(lambda state=state: not state.exists())
        for process in made.processes:
            process.terminate()
            process.wait()
        # A session that has just ended may still be there.
        subprocess.run(["pkill", "-KILL", "-u", user], check=False)
        made.wait(lambda: subprocess.run(["pgrep", "-u", user], check=False, **QUIET).returncode)
        subprocess.run(["userdel", user], check=True, stdout=subprocess.DEVNULL)


def furnish(made: Device, tools, python: Path, key: Path) -> None:
    """Programs and keys in the home of its user."""
    (made.home / "bin").mkdir()
    shutil.copy(HERE / "fake_systemctl.py", made.home / "bin")
    for name in ("systemctl", "journalctl"):
        program = made.home / "bin" / name
        program.write_text(
            f'#!/bin/sh\nFAKE={name} exec {python} {made.home}/bin/fake_systemctl.py "$@"\n'
        )
        program.chmod(0o755)
    (made.home / "bin/python3").symlink_to(python)
    for tool in tools:
        (made.home / "bin" / tool).symlink_to(shutil.which(tool))
    shutil.copy(key.with_suffix(".pub"), made.home / "keys")
    owner = pwd.getpwnam(made.user)
    for path in (made.home, *made.home.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid, follow_symlinks=False)


def serve(
    made: Device, tools, grounds: Path, python: Path, config: Path, key: Path
) -> subprocess.Popen:
    """An sshd of its own, known to the ssh configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = grounds / f"{made.name}-hostkey"
    keygen(own)
    settings = grounds / f"{made.name}.sshd"
    library = python.parents[1] / "lib"
    path = f"{made.home}/bin" + ("" if tools else ":/usr/bin:/bin")
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {own}\nPidFile none\nUsePAM no\n"
        f"StrictModes no\nAuthorizedKeysFile {made.home}/keys\nPasswordAuthentication no\n"
        f'SetEnv "PATH={path}" "LD_LIBRARY_PATH={library}" "OMP_NUM_THREADS=1"\n'
    )
    known = grounds / f"{made.name}.known"
    known.write_text(f"[127.0.0.1]:{port} {own.with_suffix('.pub').read_text()}")
    with config.open("a") as file:
        file.write(
            f"Host {made.name}\n HostName 127.0.0.1\n Port {port}\n User {made.user}\n"
            f" IdentityFile {key}\n IdentitiesOnly yes\n UserKnownHostsFile {known}\n"
            " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n"
        )
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", settings], stderr=subprocess.DEVNULL)
    until = monotonic() + 10
    while True:
        with (
            contextlib.suppress(ConnectionRefusedError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return process
        assert process.poll() is None, "sshd ended"
        assert monotonic() < until, "sshd does not listen"
        sleep(0.02)


def keygen(path: Path) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
    subprocess.run(command, check=True)
