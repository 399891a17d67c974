"""What the run loop costs beside the model itself; ratios of runs that take turns.

    python tools/bench/runtime.py street.avi --model person --rounds 5

- loop: CPU time per frame and frames per second of a pipeline over a video, against calls of
  the engine on a ready tensor;
- live: 99th percentile from capture to sink, over the model's own time, of a camera that is
  faster than the model, in the first and the last part of the run;
- start: seconds from starting ``edgenn run`` to its first result;
- memory: resident MB of that process after 300 frames;
- cameras: results per second of four live pipelines that share an engine, against one, and
  the slowest of the four against the fastest.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
from pathlib import Path
from statistics import median
from time import monotonic, process_time, sleep

import cv2

import edgenn
from edgenn import Model, Pipeline, Result
from edgenn.runtime.health import Histogram
from edgenn.runtime.sinks import Sink


class Ages(Sink):
    """Milliseconds from capture to here, in two halves of a run."""

    def __init__(self, seconds: float) -> None:
        self.parts = (Histogram(), Histogram())
        self._middle = monotonic() + seconds / 2

    def write(self, result: Result) -> None:
        """Note one."""
        now = monotonic()
        self.parts[now > self._middle].add((now - result.captured) * 1e3)

    def close(self) -> None:
        """Nothing to finish."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--model", default="person")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--precision")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20, help="of each live run")
    given = parser.parse_args()
    cv2.setNumThreads(1)  # as edgenn run does
    model = edgenn.load(
        given.model, engine=given.engine, precision=given.precision, threads=given.threads
    )
    variant = model.variant
    print(f"{model.manifest.name} {variant.engine} {variant.precision}, {given.threads} threads")
    loop(model, given.video, given.rounds)
    live(model, given.seconds)
    start(given.model, given.video)
    cameras(model, given.seconds)


def loop(model: Model, video: Path, rounds: int) -> None:
    """A pipeline over a file against the engine alone."""
    capture = cv2.VideoCapture(str(video))
    _, image = capture.read()
    capture.release()
    tensor, _ = model.preprocess(image)
    bare: list[tuple[float, float]] = []
    full: list[tuple[float, float]] = []
    for _ in range(rounds):
        wall, cpu = monotonic(), process_time()
        frames = Pipeline(video, model).run().frames
        full.append(((process_time() - cpu) / frames, frames / (monotonic() - wall)))
        wall, cpu = monotonic(), process_time()
        for _ in range(frames):
            model.infer(tensor)
        bare.append(((process_time() - cpu) / frames, frames / (monotonic() - wall)))
    cpu_ratio = median(f[0] / b[0] for f, b in zip(full, bare, strict=True))
    fps_ratio = median(f[1] / b[1] for f, b in zip(full, bare, strict=True))
    print(
        f"loop: CPU {median(f[0] for f in full) * 1e3:.2f} ms a frame, "
        f"{median(b[0] for b in bare) * 1e3:.2f} of the engine alone: {cpu_ratio:.3f}; "
        f"{median(f[1] for f in full):.1f} a second, {fps_ratio:.3f} of the engine alone"
    )


def live(model: Model, seconds: float) -> None:
    """A camera that is faster than the model."""
    ages = Ages(seconds)
    pipeline = Pipeline("test://?size=640x480&fps=400", model, [ages])
    threading.Timer(seconds, pipeline.stop).start()
    summary = pipeline.run()
    own = summary.latency_ms["inference"][0]
    first, last = (part.percentile(99) for part in ages.parts)
    print(
        f"live: capture to sink p99 {first:.1f} then {last:.1f} ms, model {own:.1f} ms: "
        f"{last / own:.2f} times"
    )


def start(name: str, video: Path) -> None:
    """The first result of the command line, and its memory."""
    command = [sys.executable, "-m", "edgenn", "run", name, "--out", "-", "--source"]
    times, sizes = [], []
    for _ in range(3):
        begun = monotonic()
        with subprocess.Popen(
            [*command, str(video)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            times.append(monotonic() - begun)
            for _ in range(300):
                process.stdout.readline()
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
            sizes.append(int(status.partition("VmRSS:")[2].split()[0]) / 1024)
            process.stdout.close()
            process.terminate()
    print(f"start: first result after {median(times):.2f} s; memory: {median(sizes):.0f} MB")


def cameras(model: Model, seconds: float) -> None:
    """Four at a time against one."""

    def follow(count: int) -> list[int]:
        pipelines = [Pipeline("test://?size=640x480&fps=150", model) for _ in range(count)]
        threads = [threading.Thread(target=pipeline.run) for pipeline in pipelines]
        for thread in threads:
            thread.start()
        sleep(seconds)
        done = [pipeline.health.frames for pipeline in pipelines]
        for pipeline in pipelines:
            pipeline.stop()
        for thread in threads:
            thread.join()
        return done

    (one,), four = follow(1), follow(4)
    print(
        f"cameras: one {one / seconds:.1f} a second; four {sum(four) / seconds:.1f}; "
        f"slowest of fastest {min(four) / max(four):.3f}"
    )


if __name__ == "__main__":
    main()
