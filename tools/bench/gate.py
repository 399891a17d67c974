"""What motion gating saves, and what it loses.

    python tools/bench/gate.py --static VIDEO [VIDEO ...]

Static scene: the first frame of the first video, repeated with noise of a sensor, as CPU time of
gated over ungated runs. Videos: the built-in detector on every frame against the
detector on the frames that the gate wants, with the last detections carried on over the others.
Detections of the ungated run are linked into tracks by overlap; a track longer than half a second
is found where, at one of its times, a detection of the gated run overlaps it by 0.5 or has its
centre in the box. Each half of a video is reported alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path
from time import process_time

import cv2
import numpy as np

from edgenn.ops.boxes import iou
from edgenn.runtime.gate import MotionGate
from edgenn.runtime.model import Model, load
from edgenn.types import Floats, Frame

LASTS_S = 0.5
FPS = 25.0
_GAP = 2  # frames that a track may miss
Track = list[tuple[int, Floats]]  # frame, box


def noisy(picture: np.ndarray, sigma: float, count: int, *, jpeg: bool) -> list[bytes | Frame]:
    """Frames of a camera that sees one thing; as JPEG files of changing quality or pictures."""
    rng = np.random.default_rng(0)
    made: list[bytes | Frame] = []
    for i in range(count):
        image = np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)
        if jpeg:
            quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 92))]
            made.append(cv2.imencode(".jpg", image, quality)[1].tobytes())
        else:
            made.append(Frame(image, i / FPS, i))
    return made


def cost(model: Model, frames: list[bytes | Frame], rounds: int, gate: MotionGate | None) -> tuple:
    """CPU seconds with and without decoding, and the part of the frames that was inferred."""
    decoding = rest = 0.0
    looked = 0
    for i, item in enumerate(chain.from_iterable(repeat(frames, rounds))):
        start = process_time()
        image = (
            item.image
            if isinstance(item, Frame)
            else cv2.imdecode(np.frombuffer(item, np.uint8), 1)
        )
        frame = Frame(image, i / FPS, i)
        decoded = process_time()
        if gate is None or gate.push(frame):
            model.predict(frame)
            looked += 1
        decoding += decoded - start
        rest += process_time() - decoded
    return decoding, rest, looked / (len(frames) * rounds)


def static(model: Model, video: Path, rounds: int) -> None:
    """Print a line per kind of noise."""
    _, picture = cv2.VideoCapture(str(video)).read()
    print(f"static scene, {rounds * 100 / FPS:.0f} s: CPU time per frame, ungated over gated")
    for name, sigma, jpeg in (
        ("noise 2", 2, False),
        ("noise 4", 4, False),
        ("jpeg, noise 3", 3, True),
    ):
        frames = noisy(picture, sigma, 100, jpeg=jpeg)
        read, plain, _ = cost(model, frames, rounds, None)
        read_too, gated, part = cost(model, frames, rounds, MotionGate())
        whole = (plain + read) / (gated + read_too)
        each = 1e3 / (100 * rounds)
        print(
            f"  {name:14s} {plain * each:6.2f} ms -> {gated * each:5.2f} ms, {plain / gated:5.1f}"
            f" times less; decoding counted {whole:5.1f} times; inferred {part:.3f} of the frames"
        )


def films(video: Path) -> Iterator[Frame]:
    """Its frames, with the time of each."""
    film = cv2.VideoCapture(str(video))
    rate, i = film.get(cv2.CAP_PROP_FPS), 0
    while (got := film.read())[0]:
        yield Frame(got[1], i / rate, i)
        i += 1


def link(found: list[Floats]) -> list[Track]:
    """Tracks of boxes: each goes to the one whose last box overlaps it best, from 0.3 on."""
    done: list[Track] = []
    alive: list[Track] = []
    for i, boxes in enumerate(found):
        done += [t for t in alive if i - t[-1][0] > _GAP + 1]
        alive = [t for t in alive if i - t[-1][0] <= _GAP + 1]
        free = set(range(len(boxes)))
        if alive and len(boxes):
            overlap = iou(np.stack([t[-1][1] for t in alive]), boxes)
            for flat in np.argsort(-overlap, axis=None):
                t, b = divmod(int(flat), len(boxes))
                if overlap[t, b] < 0.3:
                    break
                if b in free and alive[t][-1][0] < i:
                    alive[t].append((i, boxes[b]))
                    free.remove(b)
        alive += [[(i, boxes[b])] for b in sorted(free)]
    return done + alive


def covers(box: Floats, boxes: Floats) -> bool:
    """Whether one of the boxes shows the same object."""
    if not len(boxes):
        return False
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    inside = (x > box[0]) & (x < box[2]) & (y > box[1]) & (y < box[3])
    return bool((inside | (iou(box[None], boxes)[0] >= 0.5)).any())


def losses(model: Model, video: Path) -> None:
    """Print what the gated run has of the tracks of the ungated one, for each half."""
    gate, every, carried, looked, times = MotionGate(), [], [], [], []
    for frame in films(video):
        times.append(frame.time)
        every.append(np.asarray(model.predict(frame).boxes))
        looked.append(gate.push(frame))
        carried.append(every[-1] if looked[-1] else carried[-1])
    middle = len(times) // 2
    tracks = [t for t in link(every) if times[t[-1][0]] - times[t[0][0]] > LASTS_S]
    for name, span in (("first half", range(middle)), ("second half", range(middle, len(times)))):
        mine = [t for t in tracks if t[0][0] in span]
        delays, overlaps, lost = [], [], 0
        for track in mine:
            hits = [times[i] - times[track[0][0]] for i, box in track if covers(box, carried[i])]
            lost += not hits
            delays += hits[:1]
            for i, box in track:
                near = carried[i]
                overlaps.append(float(iou(box[None], near).max()) if len(near) else 0.0)
        part = np.mean([looked[i] for i in span])
        print(
            f"  {video.name} {name}: inferred {part:.3f}; {len(mine)} tracks, {lost} lost;"
            f" first found after {np.mean(delays or [0]):.3f} s"
            f" (worst {max(delays, default=0):.2f} s);"
            f" mean IoU {np.mean(overlaps or [1]):.3f}"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--static", action="store_true", help="also the static scene")
    parser.add_argument("--rounds", type=int, default=15, help="of 4 s of static scene")
    parser.add_argument("--model", default="person")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    model = load(args.model, threads=1)
    if args.static:
        static(model, args.videos[0], args.rounds)
    for video in args.videos:
        losses(model, video)


if __name__ == "__main__":
    main()
