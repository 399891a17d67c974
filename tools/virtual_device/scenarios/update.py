"""The power goes in the middle of an update: as it is fetched, on trial, and put in place."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from _guest import TINY, check, edgenn, info, leave, lines, until, vivid, want
from _service import STATE, arguments, ask, command, install, journal

_WEB, _KEYS = Path("/srv/models"), Path("/etc/edgenn")
_ROUNDS = 4
_SLOW = 2000  # bytes a second
_URL = "http://127.0.0.1:8000/index.json"
log, slots = STATE / "door" / "log.jsonl", STATE / "door" / "slots"
asked: list[str] = []


class Server(BaseHTTPRequestHandler):
    """Hands out a folder, bundles slowly and from where they are wanted."""

    def do_GET(self) -> None:
        """Answer with a file or its rest."""
        asked.append(f"{self.path} {self.headers.get('Range', '')}")
        path = _WEB / self.path.strip("/")
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        tag, start = hashlib.sha256(data).hexdigest()[:16], self.headers.get("Range", "")[6:-1]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        data = data[int(start or 0) :]
        self.send_header("ETag", f'"{tag}"')
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if path.suffix != ".edgenn":
            self.wfile.write(data)
            return
        for at in range(0, len(data), _SLOW // 4):
            self.wfile.write(data[at : at + _SLOW // 4])
            time.sleep(0.25)

    def log_message(self, *_: object) -> None:
        """It is in ``asked``."""


def serve() -> None:
    """Start the server, which ends with the device."""
    server = ThreadingHTTPServer(("127.0.0.1", 8000), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def publish(serial: int) -> None:
    """Sign the small detector as a release and hand it out."""
    path = Path(f"/root/{serial}.edgenn")
    path.write_bytes((TINY / "tiny-detect.edgenn").read_bytes())
    key = str(_KEYS / "fleet.key")
    edgenn("sign", str(path), "--key", key, "--serial", str(serial))
    edgenn("publish", str(path), "--to", str(_WEB), "--key", key)


def state() -> dict[str, Any]:
    """What is confirmed and on trial, by serial; 0 for nothing."""
    path = slots / "state.json"
    told = json.loads(path.read_text()) if path.exists() else {}
    return {key: (told.get(key) or {}).get("serial", 0) for key in ("confirmed", "trial")}


def confirmed(serial: int) -> None:
    """It runs for good, its file is whole and results come."""
    until(lambda: state() == {"confirmed": serial, "trial": 0}, f"serial {serial}: {state()}", 240)
    slot = json.loads((slots / "state.json").read_text())["confirmed"]
    data = (slots / f"{slot['slot']}.edgenn").read_bytes()
    want(hashlib.sha256(data).hexdigest() == slot["sha256"], "the file is damaged")
    goes_on()


def goes_on() -> None:
    """The service is active and has ten results more."""
    before = len(lines(log))
    until(lambda: len(lines(log)) > before + 10, f"ten more results: {journal('door')[-300:]}", 180)
    want(ask("door", "ActiveState") == "active", ask("door", "ActiveState"))


def cut(seconds: float) -> None:
    """End of the power in so many seconds."""
    print(f"CUT {seconds}", flush=True)
    until(lambda: False, "the end of the power", 120)
    sys.exit(1)


def fetched() -> int:
    """Bytes of a download that is on its way."""
    return sum(path.stat().st_size for path in slots.glob("*.part"))


turn = int(os.environ["ROUND"])
if turn == 1:
    with check("boot 1: the first release comes from the server"):
        install()
        _KEYS.mkdir(exist_ok=True)
        edgenn("key", "new", str(_KEYS / "fleet.key"))
        publish(1)
        vivid()
        serve()
        arguments("door", "", f"--camera 0 --size 320x180 --fps 5 --out log.jsonl --out-max-mb 5 "
                  f"--bundle-url {_URL} --require-key {_KEYS}/fleet.key.pub --poll 5s "
                  f"--trial 30s --slots {slots} --device-id door")  # fmt: skip
        command("systemctl", "enable", "--now", "edgenn@door")
        confirmed(1)
    publish(2)
    until(lambda: fetched() > 4000, "the second one is on its way", 120)
    info(f"the power goes {fetched()} bytes after the beginning of a download")
    cut(0)

vivid()
if turn == 2:
    with check("boot 2: the first release runs before there is a server"):
        goes_on()
        want(state() == {"confirmed": 1, "trial": 0}, state())
    serve()
    with check("the second one arrives and is on trial"):
        until(lambda: state()["trial"] == 2, f"a trial: {state()}", 240)
        info(f"asked for: {[line for line in asked if 'edgenn' in line]}")
        until(lambda: "trial" in journal("door") or "serial 2" in journal("door"), "the swap", 60)
        want(state()["confirmed"] == 1, state())
    info("the power goes in the middle of a trial")
    cut(3)
if turn == 3:
    with check("boot 3: the trial is begun again and confirmed"):
        confirmed(2)
    serve()
    publish(3)
    until(lambda: state()["trial"] == 3, "the third one", 240)
    info("the power goes as the third one is put in place")
    cut(0)
if turn == _ROUNDS:
    serve()
    with check("boot 4: the third one is confirmed, and no line or file is damaged"):
        confirmed(3)
        raw = log.read_bytes().splitlines()
        torn = sum(not line.startswith(b"{") or not line.endswith(b"}") for line in raw)
        info(f"{len(raw)} results, {torn} torn lines")
        want(torn <= turn - 1, f"{torn} torn lines")
        command("systemctl", "stop", "edgenn@door")
    leave()
