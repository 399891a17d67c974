"""The power goes three times while the service writes; each boot goes on by itself."""

from __future__ import annotations

import json
import os
import sys

from _guest import OUT, check, edgenn, info, leave, lines, started, until, vivid, want
from _service import STATE, arguments, ask, command, install

_ROUNDS = 4
log, folder = STATE / "door" / "log.jsonl", STATE / "recorded"


def whole(line: bytes) -> bool:
    """Whether a line is JSON."""
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def results() -> int:
    """Whole lines so far; a cut may have torn one."""
    raw = log.read_bytes() if log.exists() else b""
    return sum(whole(line) for line in raw.splitlines())


turn = int(os.environ["ROUND"])
vivid()

with check(f"boot {turn}: the service runs, without anybody's help after the first time"):
    before = results()
    if turn == 1:
        install()
        options = "--camera 0 --size 320x180 --fps 10 --out log.jsonl --out-max-mb 5"
        arguments("door", "tiny-detect", options)
        command("systemctl", "enable", "--now", "edgenn@door")
    until(lambda: ask("door", "ActiveState") == "active", "the service", 180)
    until(lambda: results() > before + 20, "20 more results", 120)

if turn > 1:
    with check(f"boot {turn}: what was written is whole lines"):
        raw = log.read_bytes()
        torn = sum(not whole(line) for line in raw.splitlines()[:-1])
        info(f"{before} lines before this boot, {torn} torn, {raw.count(0)} zero bytes")
        want(before > 0, "nothing was kept")
        want(torn <= turn - 1, f"{torn} torn lines")
    with check(f"boot {turn}: the recording that was cut off is read"):
        out = OUT / f"replayed{turn}.jsonl"
        edgenn("run", "/opt/edgenn/src/tests/assets/tiny-classify.edgenn", "--source",
               f"{folder}{turn - 1}", "--out", str(out))  # fmt: skip
        info(f"{len(lines(out))} pictures of it")
        want(lines(out), "no pictures")

if turn == _ROUNDS:
    command("systemctl", "stop", "edgenn@door")
    leave()
# The service has the camera; the recording is of the test picture.
with started("record", "--source", "test://?size=320x240&fps=10", "--out", f"{folder}{turn}",
             name=f"record{turn}"):  # fmt: skip
    until(lambda: list((STATE / f"recorded{turn}").glob("*")), "a recording", 60)
    print(f"CUT {8 + 3 * turn}", flush=True)
    until(lambda: False, "the end of the power", 120)
sys.exit(1)
