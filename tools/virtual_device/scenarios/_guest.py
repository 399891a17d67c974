"""What scenarios share: checks that print PASS or FAIL, commands, modules, a camera's controls."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

OUT = Path(os.environ["OUT"])
TINY = Path(os.environ["CHECKOUT"]) / "tests" / "assets"
# VIDIOC_QUERYCTRL, VIDIOC_G_CTRL, VIDIOC_S_CTRL
_QUERY, _GET, _SET = 0xC0445624, 0xC008561B, 0xC008561C
_NEXT = 0x80000000
_failed: list[str] = []


@contextlib.contextmanager
def check(what: str) -> Iterator[None]:
    """PASS if the block raises nothing; goes on in any case."""
    start = time.monotonic()
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever it is, it is told
        _failed.append(what)
        text = " ".join(str(error).split())
        print(f"FAIL {what}: {type(error).__name__}: {text[-600:]}", flush=True)
    else:
        print(f"PASS {what} ({time.monotonic() - start:.1f} s)", flush=True)


def info(text: str) -> None:
    """A line for whoever reads the results."""
    print(f"INFO {text}", flush=True)


def leave() -> None:
    """End the scenario with the code that its checks gave."""
    sys.exit(int(bool(_failed)))


def want(truth: object, text: object = "") -> None:
    """An assertion that says what there was instead."""
    if not truth:
        raise AssertionError(str(text))


def edgenn(*args: str, code: int = 0, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its outputs go to a file, too."""
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", *args],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    with (OUT / "commands.log").open("a", encoding="utf-8") as log:
        log.write(f"$ edgenn {' '.join(args)}\n{done.stdout}{done.stderr}-> {done.returncode}\n\n")
    want(done.returncode == code, f"edgenn {args[0]} ended with {done.returncode}: {done.stderr}")
    return done


@contextlib.contextmanager
def started(*args: str, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command in the background, its log in NAME.log; killed at the end if it still runs."""
    with (OUT / f"{name}.log").open("wb") as log:
        command = [sys.executable, "-m", "edgenn", *args]
        with subprocess.Popen(command, stdout=log, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()


def until(true: Callable[[], object], what: str, timeout: float = 60) -> float:
    """Wait; seconds that it took."""
    start = time.monotonic()
    while not true():
        want(time.monotonic() - start < timeout, f"after {timeout:g} s still not: {what}")
        time.sleep(0.1)
    return time.monotonic() - start


def lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of ``--out``."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def modprobe(*args: str) -> None:
    """Load a driver, or with -r remove it."""
    subprocess.run(["modprobe", *args], check=True)


def vivid() -> None:
    """A webcam at /dev/video0."""
    modprobe("vivid", "node_types=0x1", "num_inputs=1", "input_types=0")
    until(Path("/dev/video0").exists, "/dev/video0", 10)


def control(device: str, name: str, value: int | None = None) -> int:
    """Set a control of a V4L2 device by its name, or read it; a button takes any value."""
    with Path(device).open("rb", buffering=0) as node:
        found, query = [], struct.pack("=I64x", _NEXT)
        with contextlib.suppress(OSError):  # the last one is followed by an error
            while name not in found:
                query = fcntl.ioctl(node, _QUERY, query)
                number, _, raw = struct.unpack_from("=II32s", query)
                found.append(raw.rstrip(b"\0").decode())
                query = struct.pack("=I64x", number | _NEXT)
        if name not in found:
            raise LookupError(f"{device} has no control {name!r}; it has {found}")
        command, given = (_GET, 0) if value is None else (_SET, value)
        told = fcntl.ioctl(node, command, struct.pack("=Ii", number, given))
        return int(struct.unpack("=Ii", told)[1])


def sysfs(path: str, text: str) -> None:
    """Write to a file of the kernel."""
    Path(path).write_text(text, encoding="ascii")
