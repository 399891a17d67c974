"""A webcam of the driver vivid: formats, sizes, settings, and all that its driver can fail in."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path

import numpy as np
from _guest import (
    OUT,
    TINY,
    check,
    control,
    edgenn,
    info,
    leave,
    lines,
    started,
    sysfs,
    until,
    vivid,
    want,
)

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options
from edgenn.runtime.sources.camera import open_source

_DRIVER = "/sys/bus/platform/drivers/vivid"
# Bars of the test pattern from the left: 75 % colours, in blue, green, red.
_BARS = [(191, 191, 191), (0, 191, 191), (191, 191, 0), (0, 191, 0)]
_BARS += [(191, 0, 191), (0, 0, 191), (191, 0, 0), (0, 0, 0)]
DETECT = str(TINY / "tiny-detect.edgenn")


class Heard(logging.Handler):
    """What edgenn logged."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


heard = Heard()
logging.getLogger("edgenn").addHandler(heard)
logging.getLogger("edgenn").setLevel(logging.INFO)


def frames(name: str, count: int = 3, **options: object) -> list:
    """The first frames of a camera; what is logged then is in heard."""
    heard.texts.clear()
    with open_source(name, Options(**options)) as source:
        return list(islice(source, count))


def bars(image: np.ndarray) -> np.ndarray:
    """Mean colour in the middle of each of the eight bars."""
    width = image.shape[1]
    rows = image[image.shape[0] // 4 : image.shape[0] * 3 // 4]
    middles = [(2 * i + 1) * width // 16 for i in range(8)]
    return np.array([rows[:, x - 3 : x + 4].reshape(-1, 3).mean(axis=0) for x in middles])


with check("the driver loads"):
    vivid()
    control("/dev/video0", "OSD Text Mode", 2)  # none

for code in ("MJPG", "YUYV", "UYVY", "RGB3", "BGR3", "NV12", "NV21", "YU12", "YV12", "GREY"):
    for size in ((320, 180), (640, 360), (1280, 720)):
        with check(f"{code} at {size[0]}x{size[1]}"):
            image = frames(f"0?format={code}", size=size)[-1].image
            want(image.shape == (size[1], size[0], 3), image.shape)
            told = "; ".join(heard.texts)
            want((code == "MJPG") == (f"asked for format {code}" in told), told)
            grey = code == "GREY" and f"as {code}" in told
            wanted = np.array(_BARS, float)
            if grey:
                wanted = np.repeat(wanted @ [[0.0722], [0.7152], [0.2126]], 3, axis=1)
            worst = np.abs(bars(image) - wanted).max()
            if size == (640, 360):
                info(f"{code}: {told}; colours differ by up to {worst:.0f}")
            want(worst < 10, bars(image).round().tolist())

with check("a size that it lacks gives the nearest, and a warning"):
    image = frames("0", size=(5000, 4000))[-1].image
    want(any("asked for width 5000" in text for text in heard.texts), heard.texts)
    info("; ".join(heard.texts))

with check("a rate that is asked for is the rate of the frames"):
    taken = frames("0", 21, size=(320, 180), fps=10)
    rate = 20 / (taken[-1].time - taken[0].time)
    info(f"asked for 10, got {rate:.2f} a second")
    want(8.5 < rate < 10.5, rate)

with check("brightness reaches the driver"):
    frames("0?brightness=200", size=(320, 180))
    want(control("/dev/video0", "Brightness") == 200, heard.texts)
    want(not any("asked for" in text for text in heard.texts), heard.texts)
    dark, light = (frames(f"0?brightness={b}")[-1].image.mean() for b in (100, 160))
    want(light > dark + 20, (dark, light))
    frames("0?brightness=128")

with check("gain, which the camera sets itself, is a warning"):
    frames("0?gain=50", size=(320, 180))
    info("; ".join(heard.texts))
    want(any("asked for gain 50" in text for text in heard.texts), heard.texts)

with check("what it has no control for is a warning"):
    frames("0?exposure=200&focus=10", size=(320, 180))
    info("; ".join(heard.texts))
    want(sum("asked for" in text for text in heard.texts) >= 2, heard.texts)

with check("it goes by its name and path"):
    for name in ("vivid", "VIVID-000", "/dev/video0"):
        want(len(frames(name, 1)) == 1)

with (
    check("a second program is told that the first one has it"),
    open_source("0", Options()) as first,
):
    streaming = iter(first)
    next(streaming)
    told = ""
    try:
        frames("0")
    except SourceError as error:
        told = str(error)
    info(told)
    want("another program" in told, "it opened twice")

for button in ("VIDIOC_REQBUFS Error", "VIDIOC_STREAMON Error", "VIDIOC_QBUF Error"):
    with check(f"after an error at the start the next try opens it: {button}"):
        try:
            control("/dev/video0", f"Inject {button}", 1)
            taken = len(frames("0", 3))
            info(f"{button}: {taken} frames at once")
        except SourceError as error:
            info(f"{button}: {error}")
        want(len(frames("0", 3)) == 3)

log, err = OUT / "faults.jsonl", OUT / "faults.log"
with started(
    "run", DETECT, "--camera", "0", "--size", "640x360", "--out", str(log), name="faults"
) as run:

    def goes_on(timeout: float = 60) -> float:
        """Seconds until there are ten results more."""
        before = len(lines(log))
        return until(lambda: len(lines(log)) > before + 10, "ten more results", timeout)

    with check("a run begins"):
        goes_on()
    descriptors = len(list(Path(f"/proc/{run.pid}/fd").iterdir()))
    with check("buffers that are flagged as bad do not stop it"):
        for _ in range(10):
            control("/dev/video0", "Inject V4L2_BUF_FLAG_ERROR", 1)
            goes_on()
    with check("half of the buffers lost"):
        control("/dev/video0", "Percentage of Dropped Buffers", 50)
        goes_on()
        control("/dev/video0", "Percentage of Dropped Buffers", 0)
    with check("a fatal error of the stream: it is opened again"):
        control("/dev/video0", "Inject Fatal Streaming Error", 1)
        until(lambda: "opened again" in err.read_text(), "a word about it", 60)
        info(f"goes on after {goes_on():.1f} s")
    with check("disconnected by the driver, then plugged in again"):
        control("/dev/video0", "Disconnect", 1)
        until(lambda: err.read_text().count("opened again") > 1, "a word about it", 60)
        sysfs(f"{_DRIVER}/unbind", "vivid.0")
        sysfs(f"{_DRIVER}/bind", "vivid.0")
        info(f"goes on after {goes_on():.1f} s")
    with check("unplugged five times"):
        for _ in range(5):
            sysfs(f"{_DRIVER}/unbind", "vivid.0")
            sysfs(f"{_DRIVER}/bind", "vivid.0")
            goes_on()
        now = len(list(Path(f"/proc/{run.pid}/fd").iterdir()))
        nodes = [path.name for path in Path("/dev").glob("video*")]
        info(f"descriptors: {descriptors} before, {now} after; nodes {nodes}")
        want(now <= descriptors + 1, (descriptors, now))
    with check("plugged out while it waits, SIGTERM ends it"):
        sysfs(f"{_DRIVER}/unbind", "vivid.0")
        until(lambda: "no camera" in err.read_text(), "a word about it", 30)
        run.terminate()
        want(run.wait(20) == 0, run.returncode)
        sysfs(f"{_DRIVER}/bind", "vivid.0")

with check("a camera that never comes ends a run with --retries"):
    sysfs(f"{_DRIVER}/unbind", "vivid.0")
    done = edgenn("run", DETECT, "--camera", "0", "--retries", "1", code=7)
    info(done.stderr.strip().splitlines()[-1])
    sysfs(f"{_DRIVER}/bind", "vivid.0")

with check("recorded and replayed"):
    folder = OUT / "recorded"
    edgenn("record", "--camera", "0?format=YUYV", "--size", "320x180", "--out", str(folder),
           "--max-frames", "20")  # fmt: skip
    edgenn("run", DETECT, "--source", str(folder), "--out", str(OUT / "replayed.jsonl"))
    want(len(lines(OUT / "replayed.jsonl")) == 20, len(lines(OUT / "replayed.jsonl")))
leave()
