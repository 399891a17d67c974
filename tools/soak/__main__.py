"""Hours of `edgenn run` on a camera, with faults; fails if it leaks, loses, stops or mixes up.

    python tools/soak --minutes 60 --seed 1 --out soak [--faults stall,cut] [--model BUNDLE]

Writes samples.csv, faults.csv, report.json, run.log and soak.png into the folder. The fault
"disk" needs the right to mount a small tmpfs. "clock" moves time.time of the program alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from time import monotonic, sleep

from judge import RECOVER_S, Line, judge
from report import write
from rig import Broker, Camera, Webhook, cell_of, free_port, sample

ROOT = Path(__file__).resolve().parents[2]
FAULTS = ("stall", "cut", "corrupt", "slow", "broker", "freeze", "clock", "disk")
CLOCK = """import os, time
_real, _file = time.time, os.environ["SOAK_CLOCK"]
def _shifted():
    with open(_file) as file:
        return _real() + float(file.read() or 0)
time.time = _shifted
"""


class Soak:
    """One pass; see the module."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.out = args, args.out.resolve()
        self.small = self.out / "small"
        self.small.mkdir(parents=True, exist_ok=True)
        self.faults, self.rng = list(args.faults), random.Random(args.seed)
        mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "soak", str(self.small)]
        self.mounted = "disk" in self.faults and not subprocess.run(mount, check=False).returncode
        if "disk" in self.faults and not self.mounted:
            self.faults.remove("disk")
            print("no right to mount a tmpfs: no fault 'disk'", flush=True)
        self.camera, self.hook, self.broker = Camera(), Webhook(), Broker(self.out)
        self.web = free_port()
        self.clock = self.out / "clock"
        self.clock.write_text("0", encoding="utf-8")
        self.start, self.over = monotonic(), threading.Event()
        self.samples: list[dict[str, float]] = []
        self.done: list[dict] = []
        self.lines: list[Line] = []
        self.wrong: list[str] = []
        self.ready = 0.0

    def now(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self.start

    def run(self) -> int:
        """The whole pass; 1 where something is wrong."""
        child = None
        try:
            child = self.begin()
            threads = [threading.Thread(target=f, args=(child,)) for f in (self.watch, self.tail)]
            threads += [threading.Thread(target=f, daemon=True) for f in (self.poll, self.loiter)]
            for thread in threads:
                thread.start()
            self.schedule(child)
            self.end(child)
            self.over.set()
            for thread in threads[:2]:
                thread.join()
            self.wrong += judge(self)
            write(self)
        finally:
            self.over.set()
            if child is not None and child.poll() is None:
                child.kill()
            self.broker.close()
            self.camera.stop()
            if self.mounted:
                subprocess.run(["umount", "-l", str(self.small)], check=False)
        for text in self.wrong:
            print("WRONG:", text)
        return int(bool(self.wrong))

    def begin(self) -> subprocess.Popen:
        """Start the program, and wait for its first result."""
        site = self.out / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(CLOCK, encoding="utf-8")
        path = os.pathsep.join([str(site), str(ROOT), os.environ.get("PYTHONPATH", "")])
        command = [sys.executable, "-m", "edgenn", "run", self.args.model, "--threads", "1"]
        command += ["--source", self.camera.url, "--out", str(self.small / "out.jsonl")]
        command += ["--out-max-mb", "0.3", "--mqtt", self.broker.url]
        command += ["--mqtt-buffer", str(self.out), "--webhook", self.hook.url]
        command += ["--web", f"127.0.0.1:{self.web}"]
        command += ["--latency-budget", "100", "--fallback", self.args.model]
        (self.small / "out.jsonl").unlink(missing_ok=True)
        with (self.out / "run.log").open("wb") as log:
            env = {**os.environ, "PYTHONPATH": path, "SOAK_CLOCK": str(self.clock)}
            return subprocess.Popen(command, env=env, stdout=log, stderr=log)

    def schedule(self, child: subprocess.Popen) -> None:
        """Faults one after the other, in an order and with pauses of the seed."""
        end = self.args.minutes * 60
        pause = self.args.pause
        sleep(min(max(pause, 5), end / 4))
        queue: list[str] = []
        while child.poll() is None and self.now() < end:
            if not self.faults:
                sleep(1)
                continue
            if not queue:
                queue = self.rng.sample(self.faults, len(self.faults))
            name, lasts = queue.pop(), self.rng.uniform(0.7, 1.3) * self.args.lasts
            if self.now() + lasts > end:
                break
            entry = {"fault": name, "begin": self.now()}
            getattr(self, _METHODS.get(name, name))(child, lasts)
            entry["end"] = self.now()
            self.done.append(entry)
            print(f"{entry['end']:7.1f} s  {name} is over", flush=True)
            self.wait(child, entry)
            sleep(self.rng.uniform(0.7, 1.3) * pause)

    def wait(self, child: subprocess.Popen, entry: dict) -> None:
        """For results and readiness after a fault."""
        name, end = entry["fault"], entry["end"]
        while self.now() < end + RECOVER_S + 5 and child.poll() is None:
            if self.lines and self.lines[-1].at > end and self.ready > end:
                break
            sleep(0.1)
        entry["back_after"] = self.now() - end
        if entry["back_after"] > RECOVER_S:
            self.wrong.append(f"{name} at {end:.0f} s: no results within {RECOVER_S:.0f} s")

    # The faults; each is over when it returns.

    def stall(self, _child: subprocess.Popen, lasts: float) -> None:
        self.camera.flows.clear()
        sleep(lasts)
        self.camera.flows.set()

    def cut(self, _child: subprocess.Popen, lasts: float) -> None:
        self.camera.stop()
        sleep(lasts)
        self.camera.start()

    def corrupt(self, _child: subprocess.Popen, lasts: float) -> None:
        self.camera.corrupt = True
        sleep(lasts)
        self.camera.corrupt = False

    def slow(self, _child: subprocess.Popen, lasts: float) -> None:
        self.hook.delay = self.rng.choice([1.0, 60.0])
        sleep(lasts)
        self.hook.delay = 0.0

    def broker_fault(self, _child: subprocess.Popen, lasts: float) -> None:
        self.broker.kill()
        sleep(lasts)
        self.broker.start()

    def freeze(self, child: subprocess.Popen, lasts: float) -> None:
        child.send_signal(signal.SIGSTOP)
        sleep(lasts)
        child.send_signal(signal.SIGCONT)

    def clock_fault(self, _child: subprocess.Popen, lasts: float) -> None:
        self.clock.write_text(str(self.rng.choice([-86400, 3600])), encoding="utf-8")
        sleep(lasts)
        self.clock.write_text("0", encoding="utf-8")

    def disk(self, _child: subprocess.Popen, lasts: float) -> None:
        ballast = self.small / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"0" * 4096):
                pass
        sleep(lasts)
        ballast.unlink()

    # What runs beside.

    def watch(self, child: subprocess.Popen) -> None:
        """Sample the process."""
        while not self.over.wait(self.args.every):
            try:
                self.samples.append(
                    {"t": self.now(), "lines": len(self.lines), **sample(child.pid)}
                )
            except (OSError, KeyError, IndexError):  # noqa: PERF203
                continue  # it ended just now

    def tail(self, _child: subprocess.Popen) -> None:
        """Read the results, over every rotation."""
        path, file, rest, last = self.small / "out.jsonl", None, b"", False
        while not last:
            last = self.over.wait(0.1)
            if file is None and path.exists():
                file = path.open("rb")
            while file is not None:
                replaced = not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino
                rest = self.keep(rest + file.read())
                if not replaced or not path.exists():
                    break
                file.close()
                file = path.open("rb")

    def keep(self, data: bytes) -> bytes:
        """Note whole lines; what is left of the data."""
        *whole, rest = data.split(b"\n")
        for text in whole:
            try:
                line = json.loads(text)
            except ValueError:
                self.wrong.append(f"{self.now():.0f} s: a broken line in the results")
                continue
            found = line.get("detections", [])
            sent = bool(found or line.get("events"))
            cell = cell_of(found[0]["box"]) if len(found) == 1 else None
            self.lines.append(Line(self.now(), line["frame"], sent, cell))
        return rest

    def poll(self) -> None:
        """Ask whether it is ready."""
        was = None
        while not self.over.wait(0.5):
            try:
                url = f"http://127.0.0.1:{self.web}/readyz"
                with urllib.request.urlopen(url, timeout=2) as answer:
                    is_ready = answer.status == 200
            except OSError:
                is_ready = False
            if is_ready:
                self.ready = self.now()
            elif was:
                self.downs.append(self.now())
            was = is_ready

    downs: list[float] = []  # noqa: RUF012  one pass a process

    def loiter(self) -> None:
        """A watcher of the picture who stops reading."""
        while not self.over.wait(5):
            try:
                with socket.create_connection(("127.0.0.1", self.web), 2) as client:
                    client.sendall(b"GET /video.mjpg HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                    client.recv(1000)
                    self.over.wait(20)
            except OSError:  # noqa: PERF203  it may not listen yet
                continue

    def end(self, child: subprocess.Popen) -> None:
        """SIGTERM, and no more than 5 seconds."""
        if child.poll() is not None:
            self.wrong.append(f"the run ended by itself with {child.returncode}; see run.log")
            return
        sleep(3)  # what was kept for the broker arrives
        begun = monotonic()
        child.terminate()
        try:
            code = child.wait(20)
        except subprocess.TimeoutExpired:
            code = None
        self.took = monotonic() - begun
        if code != 0 or self.took > 5:
            self.wrong.append(f"SIGTERM: exit code {code} after {self.took:.1f} s")
        sleep(1)

    took = slope = 0.0
    lost = 0
    grown: dict[str, float] = {}  # noqa: RUF012  one pass a process


# Two faults have the names of attributes.
_METHODS = {"broker": "broker_fault", "clock": "clock_fault"}


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=lambda text: text.split(","), default=list(FAULTS))
    parser.add_argument("--out", type=Path, default=Path("soak"))
    parser.add_argument("--model", default=str(ROOT / "tests" / "assets" / "tiny-detect.edgenn"))
    parser.add_argument("--pause", type=float, default=20, help="seconds between faults, about")
    parser.add_argument("--lasts", type=float, default=20, help="seconds of a fault, about")
    parser.add_argument("--every", type=float, default=2, help="seconds between samples")
    args = parser.parse_args()
    if unknown := set(args.faults) - {*FAULTS, ""}:
        parser.error(f"unknown faults {sorted(unknown)}; there are {', '.join(FAULTS)}")
    args.faults = [name for name in args.faults if name]
    return Soak(args).run()


if __name__ == "__main__":
    sys.exit(main())
