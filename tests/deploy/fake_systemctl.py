"""As much of systemctl and journalctl as a deployment uses, for machines without systemd.

It really starts what a unit names, with a socket to be told of readiness, and starts it again when
it ends. State and log of each unit lie in ~/.fake-systemd.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

HOME = Path.home()
STATE = HOME / ".fake-systemd"
INACTIVE = {"ActiveState": "inactive", "SubState": "dead", "MainPID": 0, "NRestarts": 0}


def unit_file(unit: str) -> Path:
    return HOME / ".config/systemd/user" / unit


def read_state(unit: str) -> dict:
    try:
        return json.loads((STATE / f"{unit}.json").read_text())
    except FileNotFoundError:
        return INACTIVE


def write_state(unit: str, **values) -> None:
    draft = STATE / f".{unit}.new"
    draft.write_text(json.dumps({**read_state(unit), **values}))
    draft.replace(STATE / f"{unit}.json")


def stop(unit: str) -> None:
    supervisor = read_state(unit).get("supervisor")
    if supervisor is None:
        return
    os.kill(supervisor, signal.SIGTERM)
    until = time.monotonic() + 10
    while (STATE / f"{unit}.json").exists() and time.monotonic() < until:
        time.sleep(0.02)


def start(unit: str) -> None:
    if os.fork():
        return
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    supervise(unit)
    os._exit(0)


def supervise(unit: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(unit_file(unit))
    service = {key: text.replace("%%", "%") for key, text in parser["Service"].items()}
    assert service["Type"] == "notify"
    address = STATE / f"{unit}.socket"
    address.unlink(missing_ok=True)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(address))
    notify.settimeout(0.1)
    env = {**os.environ, "NOTIFY_SOCKET": str(address)}
    env["WATCHDOG_USEC"] = service["WatchdogSec"] + "000000"
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    restarts = 0
    while not ended:
        with (STATE / f"{unit}.log").open("ab") as log:
            process = subprocess.Popen(
                shlex.split(service["ExecStart"]),
                cwd=service["WorkingDirectory"],
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        pids = {"MainPID": process.pid, "supervisor": os.getpid(), "NRestarts": restarts}
        write_state(unit, ActiveState="activating", SubState="start", **pids)
        while process.poll() is None and not ended:
            listen(notify, unit)
        if ended:
            process.terminate()
        process.wait()
        write_state(unit, ActiveState="activating", SubState="auto-restart", Result="exit-code")
        until = time.monotonic() + float(service["RestartSec"])
        while not ended and time.monotonic() < until:
            time.sleep(0.05)
        restarts += 1
    (STATE / f"{unit}.json").unlink()


def listen(notify: socket.socket, unit: str) -> None:
    try:
        text = notify.recv(4096).decode()
    except TimeoutError:
        return
    if text == "READY=1":
        write_state(unit, ActiveState="active", SubState="running", Result="success")
    elif text.startswith("STATUS="):
        write_state(unit, StatusText=text.removeprefix("STATUS="))


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    STATE.mkdir(exist_ok=True)
    if os.environ["FAKE"] == "journalctl":
        sys.stdout.write((STATE / f"{words[0]}.log").read_text())
        return 0
    verb, unit = words[0], words[-1]
    if "--property=Version" in sys.argv:
        sys.stdout.write("252\n")
    elif verb == "show":
        sys.stdout.writelines(f"{key}={value}\n" for key, value in read_state(unit).items())
    elif verb in ("enable", "restart") and not unit_file(unit).exists():
        sys.stderr.write(f"Failed to {verb} unit: Unit file {unit} does not exist.\n")
        return 1
    elif verb in ("stop", "disable"):
        stop(unit)
    elif verb == "restart":
        stop(unit)
        write_state(unit, ActiveState="activating", SubState="start", MainPID=0, NRestarts=0)
        start(unit)
    return 0


if __name__ == "__main__":
    sys.exit(main())
