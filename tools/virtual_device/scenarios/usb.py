"""A USB webcam of uvcvideo with MJPG: settings, pictures that break, plugs that come loose."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from _guest import (
    OUT,
    TINY,
    check,
    control,
    edgenn,
    info,
    leave,
    lines,
    modprobe,
    started,
    until,
    want,
)

DETECT = str(TINY / "tiny-detect.edgenn")
fault = Path("/tmp/fault")
fault.write_text("ok")


def plug(port: int, serial: str = "SN1") -> subprocess.Popen[bytes]:
    """Plug a webcam in."""
    told = (OUT / "webcam.log").open("ab")
    program = str(Path(__file__).with_name("_webcam.py"))
    return subprocess.Popen(
        [sys.executable, program, str(port), serial, str(fault)], stdout=told, stderr=told
    )


def out(webcam: subprocess.Popen[bytes]) -> None:
    """Pull its plug."""
    webcam.kill()
    webcam.wait()


def nodes() -> list[str]:
    """Nodes in /dev."""
    return sorted(path.name for path in Path("/dev").glob("video*"))


with check("drivers load, the webcam is there"):
    modprobe("vhci-hcd")
    modprobe("uvcvideo")
    webcam = plug(0)
    until(lambda: len(nodes()) == 2, "two nodes, for pictures and metadata", 40)
    info(f"nodes {nodes()}")

with check("edgenn sources lists it once, edgenn doctor its modes"):
    text = edgenn("sources").stdout
    want(text.count("Virtual Webcam") == 1, text)
    cameras = json.loads(edgenn("doctor", "--json", timeout=240).stdout)["cameras"]
    (OUT / "cameras.json").write_text(json.dumps(cameras, indent=1), encoding="utf-8")
    modes = [(m["format"], m["width"], m["height"]) for c in cameras for m in c["modes"]]
    info(f"{[(c['path'], c['captures']) for c in cameras]}, {modes}")
    want(modes == [(c, w, h) for c in ("MJPG", "YUYV") for w, h in ((320, 240), (640, 480))], modes)

for text, size, shown in (("0", "640x480", "640x480 at 15 fps as MJPG"),
                          ("0?format=YUYV", "320x240", "320x240 at 15 fps as YUYV"),
                          ("virtual web", "320x240", "320x240 at 15 fps as MJPG")):  # fmt: skip
    with check(f"30 frames of --camera {text!r} --size {size}, and what is on them"):
        log = OUT / "frames.jsonl"
        log.unlink(missing_ok=True)
        done = edgenn("run", DETECT, "--camera", text, "--size", size, "--max-frames", "30",
                      "--retries", "2", "--out", str(log))  # fmt: skip
        want(shown in done.stderr, done.stderr)
        seen = [[d["label"] for d in line["detections"]] for line in lines(log)]
        want(len(seen) == 30 and all(s == seen[0] for s in seen) and seen[0], seen)
        info(f"{seen[0]}; {done.stderr.strip().splitlines()[-3]}")

with check("exposure, gain and brightness reach it"):
    done = edgenn("run", DETECT, "--camera", "0?exposure=200&gain=30&brightness=99", "--fps", "10",
                  "--max-frames", "5", "--retries", "2")  # fmt: skip
    values = {}
    for name in ("Auto Exposure", "Exposure Time, Absolute", "Gain", "Brightness"):
        values[name] = control("/dev/video0", name)
    info(f"{values}; {done.stderr.strip().splitlines()[1]}")
    want(list(values.values()) == [1, 200, 30, 99], values)
    want("asked for" not in done.stderr and "at 10 fps" in done.stderr, done.stderr)
    done = edgenn("run", DETECT, "--camera", "0?exposure=auto", "--max-frames", "5")
    want(control("/dev/video0", "Auto Exposure") == 3, done.stderr)
    want("asked for" not in done.stderr, done.stderr)

log, err = OUT / "faults.jsonl", OUT / "faults.log"


def goes_on(timeout: float = 90) -> float:
    """Seconds until there are ten results more."""
    before = len(lines(log))
    return until(lambda: len(lines(log)) > before + 10, "ten more results", timeout)


options = ["--camera", "0", "--size", "320x240", "--out", str(log)]
with started("run", DETECT, *options, name="faults") as run:
    with check("a run begins"):
        goes_on()
    descriptors = len(list(Path(f"/proc/{run.pid}/fd").iterdir()))
    for kind, word in (("cut", "decoded"), ("rubbish", "decoded"), ("silent", "stopped")):
        with check(f"pictures that are {kind}, then good ones"):
            before = err.read_text().count(word)
            fault.write_text(kind)
            until(lambda w=word, b=before: err.read_text().count(w) > b, "a word about it", 60)
            fault.write_text("ok")
            info(f"{kind}: goes on after {goes_on():.1f} s")
            want(run.poll() is None, "it ended")
    with check("a plug that comes loose three times"):
        for turn in range(3):
            out(webcam)
            if turn % 2:
                until(lambda: not nodes(), "that the nodes are gone", 20)
            webcam = plug(0)
            took = goes_on()
            info(f"goes on after {took:.1f} s, nodes {nodes()}")
        now = len(list(Path(f"/proc/{run.pid}/fd").iterdir()))
        want(now <= descriptors + 1, (descriptors, now))
    with check("out, while another of its make stays: it is not taken for the first"):
        other = plug(1, "SN2")
        until(lambda: len(nodes()) == 4, "four nodes", 40)
        seen = err.read_text().count("no camera")
        out(webcam)
        until(lambda: err.read_text().count("no camera") > seen, "a word about it", 40)
        count = len(lines(log))
        webcam = plug(0)
        info(f"goes on after {goes_on():.1f} s, nodes {nodes()}")
        out(other)
        goes_on()
    run.terminate()
    with check("SIGTERM ends it"):
        want(run.wait(30) == 0, run.returncode)
(OUT / "kernel.txt").write_bytes(subprocess.run(["dmesg"], check=True, capture_output=True).stdout)
leave()
