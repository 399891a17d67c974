"""Hours of `edgenn run` on a camera, with faults; fails if it leaks, loses, stops or mixes up.

    python tools/soak --minutes 60 --seed 1 --out soak [--faults stall,cut] [--model BUNDLE]

Writes samples.csv, faults.csv, report.json, run.log and soak.png into the folder. The fault
"disk" needs the right to mount a small tmpfs. "clock" moves time.time of the program alone.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep

import numpy as np
from rig import Broker, Camera, Webhook, free_port, sample

ROOT = Path(__file__).resolve().parents[2]
FAULTS = ("stall", "cut", "corrupt", "slow", "broker", "freeze", "clock", "disk")
RECOVER_S = 30.0  # the longest pause of a live source that failed
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
        self.lines: list[tuple[float, int, bool]] = []  # seconds, frame, was sent by MQTT
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
            self.check()
            self.write()
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
            if self.lines and self.lines[-1][0] > end and self.ready > end:
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
            sent = bool(line.get("detections") or line.get("events"))
            self.lines.append((self.now(), line["frame"], sent))
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

    took = 0.0

    def check(self) -> None:
        """Everything that can be said only at the end."""
        frames = [frame for _, frame, _ in self.lines]
        if any(b <= a for a, b in pairwise(frames)):
            self.wrong.append("frames in the results do not rise")
        seen, highest = set(), -1
        for frame in self.broker.frames:
            if frame < highest and frame not in seen:
                self.wrong.append(f"MQTT: frame {frame} came late")
            seen.add(frame)
            highest = max(highest, frame)
        lost = {frame for _, frame, sent in self.lines if sent} - seen
        if lost:
            self.wrong.append(f"MQTT lost {len(lost)} of {len(frames)} results, {min(lost)} first")
        self.lost = len(lost)
        if not frames:
            self.wrong.append("no results at all")
        for entry in self.done:
            self.check_fault(entry)
        if len(self.samples) > 20:
            self.growth()

    lost = 0

    def check_fault(self, entry: dict) -> None:
        """Threads, descriptors and readiness around one fault."""
        begin, end, name = entry["begin"], entry["end"], entry["fault"]
        quiet = name in ("stall", "cut") and end - begin > 8
        if quiet and not any(begin < t < end + 1 for t in self.downs):
            self.wrong.append(f"{name} at {begin:.0f} s: /readyz never said so")
        before = [s for s in self.samples if s["t"] < begin]
        after = [s for s in self.samples if end < s["t"] < end + RECOVER_S + 15]
        for what in ("threads", "fds"):
            if before and after:
                usual, least = max(s[what] for s in before), min(s[what] for s in after)
                if least > usual:
                    self.wrong.append(f"{name} at {end:.0f} s: {least} {what}, before {usual}")

    def growth(self) -> None:
        """Memory at the end against that after the warm-up."""
        warm = max(0.2 * self.samples[-1]["t"], min(60.0, 0.4 * self.samples[-1]["t"]))
        rest = [s for s in self.samples if s["t"] > warm]
        part = max(3, len(rest) // 10)
        values = [s["anon_mb"] for s in rest]
        self.grown = float(np.median(values[-part:]) - np.median(values[:part]))
        hours = [s["t"] / 3600 for s in rest]
        self.slope = float(np.polyfit(hours, values, 1)[0])
        if self.grown > 5:
            self.wrong.append(f"memory grew by {self.grown:.1f} MB after the warm-up")

    grown = slope = 0.0

    def write(self) -> None:
        """Tables, report and picture."""
        for name, rows in (("samples", self.samples), ("faults", self.done)):
            if rows:
                with (self.out / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
                    table = csv.DictWriter(file, list(rows[0]))
                    table.writeheader()
                    table.writerows(rows)
        report = {"seconds": self.now(), "results": len(self.lines), "faults": len(self.done)}
        report |= {"mqtt": len(self.broker.frames), "mqtt_lost": self.lost}
        report |= {"grown_mb": self.grown, "mb_per_hour": self.slope, "sigterm_s": self.took}
        report |= {"webhook": self.hook.count, "seed": self.args.seed, "wrong": self.wrong}
        text = json.dumps(report, indent=1)
        (self.out / "report.json").write_text(text + "\n", encoding="utf-8")
        print(text)
        self.draw()

    def draw(self) -> None:
        """Memory, threads, descriptors and rate over time, the faults marked."""
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt

        at = [s["t"] for s in self.samples]
        figure, axes = plt.subplots(4, 1, sharex=True, figsize=(12, 9), layout="constrained")
        for axis, what in zip(axes, ("anon_mb", "threads", "fds"), strict=False):
            axis.plot(at, [s[what] for s in self.samples])
            axis.set_ylabel(what)
        counts = [s["lines"] for s in self.samples]
        axes[3].plot(at[1:], np.diff(counts) / np.maximum(np.diff(at), 1e-3))
        axes[3].set_ylabel("results a second")
        axes[3].set_xlabel("seconds")
        for entry in self.done:
            for axis in axes:
                axis.axvspan(entry["begin"], entry["end"], alpha=0.2, color="red", lw=0)
            axes[0].text(entry["begin"], axes[0].get_ylim()[1], entry["fault"], rotation=30)
        figure.savefig(self.out / "soak.png", dpi=80)


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
