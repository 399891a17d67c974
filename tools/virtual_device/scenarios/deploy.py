"""`edgenn deploy` to a real sshd and a real systemd: for the system, for a user, and back."""

from __future__ import annotations

import subprocess
from pathlib import Path

from _guest import OUT, TINY, check, edgenn, info, leave, lines, until, vivid, want
from _service import command, install

_CONFIG = Path("/run/device/ssh_config")
_PI = Path("/home/pi")
_CURRENT = Path("/opt/edgenn/door/current")
_ACTIVE = "ActiveState=active"
_CAMERA = ("--service", "--camera", "0", "--timeout", "300", "--settle", "5")
_LOG = ("--", "--size", "320x180", "--fps", "5", "--out", "log.jsonl", "--out-max-mb", "5")


def key(path: Path) -> str:
    """Make a pair of keys; the public one."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path.with_suffix(".pub").read_text(encoding="utf-8")


def sshd() -> None:
    """A server that knows root and pi by a key, and a user pi who may use sudo."""
    command("useradd", "--create-home", "--shell", "/bin/bash", "--groups", "video", "pi")
    Path("/etc/sudoers.d/pi").write_text("pi ALL=(ALL) NOPASSWD: ALL\n", encoding="ascii")
    host, own = key(Path("/etc/device/host")), key(Path("/etc/device/own"))
    for home, user in ((Path("/root"), "root"), (_PI, "pi")):
        (home / ".ssh").mkdir(mode=0o700, exist_ok=True)
        (home / ".ssh" / "authorized_keys").write_text(own, encoding="ascii")
        command("chown", "-R", f"{user}:", str(home / ".ssh"))
    settings, known = Path("/etc/device/sshd_config"), Path("/etc/device/known")
    settings.write_text(
        "ListenAddress 127.0.0.1\nHostKey /etc/device/host\nPasswordAuthentication no\n"
        "UsePAM yes\nPermitRootLogin prohibit-password\n"
    )
    known.write_text(f"127.0.0.1 {host}")
    _CONFIG.write_text(
        "Host *\n HostName 127.0.0.1\n IdentityFile /etc/device/own\n"
        f" UserKnownHostsFile {known}\n StrictHostKeyChecking yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    command("/usr/sbin/sshd", "-f", str(settings))


def deploy(host: str, *args: str, code: int = 0) -> str:
    """What `edgenn deploy` of the small detector says."""
    (wheel,) = (OUT / "cargo").glob("edgenn-*.whl")
    done = edgenn(
        "deploy", str(TINY / "tiny-detect.edgenn"), host, "--ssh-config", str(_CONFIG),
        "--wheel", str(wheel), "--wheelhouse", str(OUT / "cargo"),
        "--python", "/usr/bin/python3", *args, code=code, timeout=1500,
    )  # fmt: skip
    return done.stdout + done.stderr


def unit(name: str, *how: str) -> str:
    """Its state and process."""
    told = ("show", f"edgenn-{name}", "-p", "ActiveState,MainPID")
    return command("systemctl", *how, *told).replace("\n", " ")


def goes_on(log: Path) -> None:
    """There are ten results more."""
    before = len(lines(log))
    until(lambda: len(lines(log)) > before + 10, "ten more results", 120)


log = Path("/opt/edgenn/door/data/log.jsonl")

with check("an sshd, root, and a user with sudo who may use cameras"):
    install()
    vivid()
    command("udevadm", "settle")
    sshd()

with check("a dry run tells the plan and touches nothing"):
    text = deploy("root@device", "--name", "door", "--dry-run", *_CAMERA, *_LOG)
    want("edgenn-door.service (system)" in text, text)
    want(not log.parents[1].exists(), "something is there")

with check("for the system, as root: the service becomes healthy"):
    info(deploy("root@device", "--name", "door", *_CAMERA, *_LOG).strip().splitlines()[-1])
    want(_ACTIVE in unit("door"), unit("door"))
    want(command("systemctl", "is-enabled", "edgenn-door").strip() == "enabled", "not at boot")
    goes_on(log)

with check("once more there is nothing to do"):
    before = unit("door")
    info(deploy("root@device", "--name", "door", *_CAMERA, *_LOG).strip().splitlines()[-1])
    want(unit("door") == before, f"{before} became {unit('door')}")

with check("one that does not become healthy is taken back"):
    release = _CURRENT.readlink()
    text = deploy("root@device", "--name", "door", "--service", "--camera", "7",
                  "--timeout", "60", *_LOG, code=14)  # fmt: skip
    info(text.strip().splitlines()[-1])
    want(_CURRENT.readlink() == release, "another release")
    until(lambda: _ACTIVE in unit("door"), "the former one", 60)
    goes_on(log)
    command("systemctl", "disable", "--now", "edgenn-door")

with check("for the system, as a user with sudo: it runs as that user"):
    info(deploy("pi@device", "--name", "gate", "--scope", "system", *_CAMERA, *_LOG)
         .strip().splitlines()[-1])  # fmt: skip
    pid = command("systemctl", "show", "edgenn-gate", "-P", "MainPID").strip()
    want(Path(f"/proc/{pid}").owner() == "pi", Path(f"/proc/{pid}").owner())
    goes_on(Path("/opt/edgenn/gate/data/log.jsonl"))
    command("systemctl", "disable", "--now", "edgenn-gate")

with check("for a user alone: below the home, and it outlives the login"):
    info(deploy("pi@device", "--name", "hall", *_CAMERA, *_LOG).strip().splitlines()[-1])
    want((Path("/var/lib/systemd/linger") / "pi").exists(), "it does not linger")
    ends = subprocess.run(["loginctl", "list-sessions", "--no-legend"], capture_output=True,
                          text=True, check=True).stdout  # fmt: skip
    want("pi" not in ends, ends)
    want(_ACTIVE in unit("hall", "--machine=pi@", "--user"), "not active")
    goes_on(_PI / ".local/share/edgenn/hall/data/log.jsonl")

(OUT / "journal.txt").write_text(
    command("journalctl", "-b", "--no-pager", "-o", "short-monotonic"), encoding="utf-8"
)
leave()
