"""The shipped unit under a real systemd: started, frozen, killed, unplugged, stopped."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from _guest import OUT, check, info, leave, lines, sysfs, until, vivid, want
from _imu import mpu6050
from _service import STATE, arguments, ask, command, install, journal

_DRIVER = "/sys/bus/platform/drivers/vivid"
log = STATE / "door" / "log.jsonl"


def group(path: str) -> str:
    """Whose group a node is, and what it may."""
    node = Path(path)
    return f"{node.group()} {node.stat().st_mode & 0o777:o}"


def goes_on(timeout: float = 120) -> float:
    """Seconds until there are ten results more."""
    before = len(lines(log))
    return until(lambda: len(lines(log)) > before + 10, "ten more results", timeout)


with check("installed as INSTALL.md says"):
    install()
    info(command("id", "edgenn").strip())

bus = -1
with check("udev gives the nodes to the groups of the service"):
    vivid()
    bus = mpu6050()
    command("udevadm", "settle")
    until(lambda: group("/dev/video0") == "video 660", "a camera of group video", 20)
    until(lambda: group(f"/dev/i2c-{bus}") == "i2c 660", "a bus of group i2c", 20)

with check("the service starts and is ready with its first result"):
    arguments(
        "door", "tiny-detect", "--camera 0 --size 320x180 --fps 10 --out log.jsonl --out-max-mb 5"
    )
    command("systemctl", "enable", "--now", "edgenn@door")
    info(f"{ask('door', 'ActiveState')}, {ask('door', 'StatusText')}")
    want(ask("door", "ActiveState") == "active", journal("door"))
    goes_on()
    until(lambda: " done, " in ask("door", "StatusText"), "a status", 30)
    info(f"{ask('door', 'StatusText')}; {int(ask('door', 'MemoryCurrent')) >> 20} MB")

with check("it runs as edgenn, and its files are its own"):
    pid = ask("door", "MainPID")
    status = Path(f"/proc/{pid}/status").read_text()
    want("NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, status)
    want(Path(f"/proc/{pid}").owner() == "edgenn", Path(f"/proc/{pid}").owner())
    want(log.owner() == "edgenn", log.owner())

with check("unplugged and back"):
    for _ in range(3):
        sysfs(f"{_DRIVER}/unbind", "vivid.0")
        sysfs(f"{_DRIVER}/bind", "vivid.0")
        info(f"goes on after {goes_on():.1f} s")
    want(ask("door", "MainPID") == pid, "it was restarted")

with check("a frozen process is killed by the watchdog and started again"):
    os.kill(int(pid), signal.SIGSTOP)
    took = until(lambda: ask("door", "MainPID") not in (pid, "0"), "another process", 120)
    info(f"another process after {took:.1f} s")
    want("Watchdog timeout" in journal("door"), journal("door")[-600:])
    goes_on()
    want(ask("door", "ActiveState") == "active", ask("door", "ActiveState"))

with check("one that was killed is started again"):
    pid = ask("door", "MainPID")
    os.kill(int(pid), signal.SIGKILL)
    took = until(lambda: ask("door", "MainPID") not in (pid, "0"), "another process", 60)
    info(f"another process after {took:.1f} s")
    goes_on()

with check("it stops cleanly"):
    command("systemctl", "stop", "edgenn@door")
    want(ask("door", "Result") == "success", ask("door", "Result"))
    info(journal("door").strip().splitlines()[-2])

with check("a second one with the I2C sensor"):
    arguments("wrist", "watch", f"--sensor i2c://{bus}/mpu6050 --out log.jsonl")
    command("systemctl", "start", "edgenn@wrist")
    until(lambda: len(lines(STATE / "wrist" / "log.jsonl")) > 2, "three results", 90)
    command("systemctl", "stop", "edgenn@wrist")

with check("wrong arguments are not tried again"):
    arguments("wrong", "tiny-detect", "--camera 0 --size large")
    command("systemctl", "start", "edgenn@wrong", code=1)
    until(lambda: ask("wrong", "ActiveState") == "failed", "that it failed", 30)
    want(ask("wrong", "NRestarts") == "0", ask("wrong", "NRestarts"))

with check("one that finds no camera is started again until there is one"):
    sysfs(f"{_DRIVER}/unbind", "vivid.0")
    command("systemctl", "start", "edgenn@door", code=1)
    until(lambda: int(ask("door", "NRestarts")) > 0, "a second try", 60)
    sysfs(f"{_DRIVER}/bind", "vivid.0")
    info(f"goes on after {goes_on():.1f} s")
    want(ask("door", "ActiveState") == "active", journal("door")[-600:])
    command("systemctl", "stop", "edgenn@door")

(OUT / "journal.txt").write_text(
    command("journalctl", "-b", "--no-pager", "-o", "short-monotonic"), encoding="utf-8"
)
leave()
