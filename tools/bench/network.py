"""Ways to read an RTSP stream, taking turns: how old a frame is, and what it costs.

    pip install av; python tools/bench/network.py --rounds 5

Each reads the same kind of stream, 320x240 H.264 at 25 fps from GStreamer's server on this
machine, whose frames tell their number and time (tests/rtsp_server.py). Per round and way:

- first: seconds from the call to the first frame.
- age: median milliseconds between the making of a frame and its arrival, from frame 40 on.
- cpu: milliseconds of processor time per frame, of this process alone.
- lost: numbers missing between the first frame and the last, with one or two that the
  server itself leaves out, whose timer is not exact.
- back: seconds from the restart of a server that was killed to the next frame.

Printed are the medians over the rounds, and the smallest and largest value of each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, process_time, sleep

import av
from numpy.typing import NDArray

from edgenn.errors import SourceError
from edgenn.runtime.sources import open_source

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from rtsp_server import Server, age, number

FRAMES, SETTLED = 120, 40
COLUMNS = ("first s", "age ms", "cpu ms", "lost", "back s")
Images = Iterator[NDArray]


def by_opencv(url: str) -> Images:
    """As edgenn reads a URL."""
    with open_source(url) as source:
        for frame in source:
            yield frame.image


def by_pyav(url: str, **more: str) -> Images:
    """PyAV, decoding in one thread as OpenCV is asked to."""
    options = {"rtsp_transport": "tcp", **more}
    with av.open(url, options=options, timeout=(10, 10)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="bgr24")


def by_pyav_tuned(url: str) -> Images:
    """PyAV, with what FFmpeg offers against delay."""
    yield from by_pyav(
        url,
        fflags="nobuffer",
        flags="low_delay",
        analyzeduration="100000",
        probesize="32768",
        max_delay="0",
    )


WAYS: dict[str, Callable[[str], Images]] = {
    "opencv": by_opencv,
    "pyav": by_pyav,
    "pyav tuned": by_pyav_tuned,
}


def measure(way: Callable[[str], Images]) -> tuple[float, ...]:
    """One round of one way."""
    server = Server()
    try:
        begun = monotonic()
        images = way(server.url)
        seen = [number(next(images))]
        first, ages = monotonic() - begun, []
        for i in range(1, FRAMES):
            if i == SETTLED:
                busy = process_time()
            image = next(images)
            ages.append(age(image))
            seen.append(number(image))
        cpu = (process_time() - busy) / (FRAMES - SETTLED)
        lost = seen[-1] - seen[0] + 1 - len(set(seen))
        server.kill()
        end(images)
        again = Server(server.port)
        begun = monotonic()
        try:
            back = monotonic_of_first(way, again.url) - begun
        finally:
            again.kill()
    finally:
        server.kill()
    return first, 1000 * statistics.median(ages[SETTLED:]), 1000 * cpu, lost, back


def end(images: Images) -> None:
    """Read what is left of a stream whose server is gone."""
    try:
        for _ in images:
            pass
    except (SourceError, av.error.FFmpegError, OSError):
        pass


def monotonic_of_first(way: Callable[[str], Images], url: str) -> float:
    """When the first frame came, with a new try every 100 ms, as long as it takes."""
    while True:
        try:
            images = way(url)
            next(images)
        except (SourceError, av.error.FFmpegError, OSError, StopIteration):
            sleep(0.1)
            continue
        now = monotonic()
        images.close()
        return now


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in WAYS}
    for _ in range(args.rounds):
        for name, way in WAYS.items():
            taken[name].append(measure(way))
    print("| way | " + " | ".join(COLUMNS) + " |")
    print("| --- |" + " --- |" * len(COLUMNS))
    for name, rounds in taken.items():
        columns = zip(*rounds, strict=True)
        cells = [f"{statistics.median(c):.2f} ({min(c):.2f}-{max(c):.2f})" for c in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
