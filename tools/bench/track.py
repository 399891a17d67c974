"""The tracker beside ByteTrack of Roboflow's `trackers`, on the same degraded detections.

    python -m venv PEER && PEER/bin/pip install -r tools/bench/track_requirements.txt
    python tools/bench/track.py --peer PEER/bin/python
    python tools/bench/track.py --peer PEER/bin/python street.avi yolox_nano.onnx

The first takes made-up scenes, whose truth is exact: `track_scene.py`. The second takes a film
without labels: the reference is what a detector finds in every frame and in tiles of
it, linked offline by mutual best overlap of neighbouring frames. Gaps are joined where both ends,
carried on, meet. Both trackers then get these boxes with some dropped, weakened, jittered and false
ones added. Both leave out boxes of tracks that are not confirmed.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from track_scene import behind, scene

from edgenn.ops.assign import assign
from edgenn.ops.boxes import iou, nms
from edgenn.runtime.foreign import load_any
from edgenn.runtime.model import Model
from edgenn.runtime.temporal.track import build
from edgenn.types import Detections, Frame, Image

# Rows: frame, id, x1, y1, x2, y2, score.
PEER = """
import sys, time, numpy as np, supervision as sv
from trackers import ByteTrackTracker
rows, frames, fps = np.load(sys.argv[1]), int(sys.argv[3]), float(sys.argv[4])
t = ByteTrackTracker(30, fps, 0.4, 2, 0.2, 0.4)
out = []
for n in range(frames):
    r = rows[rows[:, 0] == n]
    d = sv.Detections(xyxy=r[:, 2:6], confidence=r[:, 6], class_id=np.zeros(len(r), int))
    d = t.update(d)
    out += [[n, i, *b, 1] for i, b in zip(d.tracker_id, d.xyxy) if i >= 0]
np.save(sys.argv[2], np.array(out))
"""


def reference(video: str, teacher: str, frames: int) -> tuple[np.ndarray, float]:
    """Tracks linked offline from a detector's boxes, and the frame rate."""
    model, film = load_any(teacher, conf=0.3), cv2.VideoCapture(video)
    fps = film.get(cv2.CAP_PROP_FPS)
    chains: list[dict[int, np.ndarray]] = []
    before: list[int] = []
    for n in range(frames):
        good, image = film.read()
        if not good:
            break
        boxes = _people(model, image)
        heads = np.array([chains[c][n - 1] for c in before]).reshape(-1, 4).astype(np.float32)
        overlap, now = iou(boxes, heads), []
        for i, box in enumerate(boxes):
            j = int(overlap[i].argmax()) if len(heads) else -1
            if j >= 0 and overlap[i, j] > 0.4 and overlap[:, j].argmax() == i:
                now.append(before[j])
            else:
                now.append(len(chains))
                chains.append({})
            chains[now[-1]][n] = box
        before = now
    rows = []
    for number, chain in enumerate(_joined(chains), 1):
        times = np.array(sorted(chain))
        if len(times) < 10:
            continue
        every = np.arange(times[0], times[-1] + 1)
        sides = [np.interp(every, times, [chain[t][k] for t in times]) for k in range(4)]
        rows += [[n, number, *box, 1] for n, box in zip(every, np.stack(sides, 1), strict=True)]
    return np.array(rows), fps


def _people(model: Model, image: Image) -> np.ndarray:
    """Boxes in the whole picture and in its four corners, where the small are larger."""
    height, width = image.shape[:2]
    w, h = width * 5 // 8, height * 5 // 8
    corners = [(x, y, x + w, y + h) for x in (0, width - w) for y in (0, height - h)]
    boxes, scores = [], []
    for x1, y1, x2, y2 in [(0, 0, width, height), *corners]:
        found = model.predict(image[y1:y2, x1:x2])
        box = found.boxes + np.array([x1, y1, x1, y1], np.float32)
        # What the edge of a tile cuts is found whole in another one.
        cut = (x1 > 0) & (box[:, 0] < x1 + 4) | (x2 < width) & (box[:, 2] > x2 - 4)
        cut |= (y1 > 0) & (box[:, 1] < y1 + 4) | (y2 < height) & (box[:, 3] > y2 - 4)
        good = ~cut & (found.class_ids == model.labels.index("person"))
        boxes.append(box[good])
        scores.append(found.scores[good])
    every = np.concatenate(boxes)
    return every[nms(every, np.concatenate(scores), np.zeros(len(every), np.int64), 0.5, 300)]


def _joined(chains: list[dict[int, np.ndarray]]) -> list[dict[int, np.ndarray]]:
    """Chains of which one begins where another one, carried on, would be within 20 frames."""
    kept = [c for c in chains if len(c) > 2]
    while True:
        fits = []
        for a, early in enumerate(kept):
            for b, late in enumerate(kept):
                end, start = max(early), min(late)
                if 0 < start - end <= 20:
                    there = float(iou(_carried(early, start)[None], late[start][None])[0, 0])
                    back = float(iou(_carried(late, end)[None], early[end][None])[0, 0])
                    fits.append((min(there, back), a, b))
        best, a, b = max(fits, default=(0.0, 0, 0))
        if best <= 0.1:
            return sorted(kept, key=min)
        kept[a] |= kept[b]
        del kept[b]


def _carried(chain: dict[int, np.ndarray], at: int) -> np.ndarray:
    """Where a chain would be at a frame outside it, by its mean motion over the nearest ten."""
    times = sorted(chain, key=lambda t: abs(t - at))[:10]
    boxes = np.array([chain[t] for t in times])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    motion = np.polyfit(times, middles, 1)[0]
    return (boxes[0] + np.tile(motion, 2) * (at - times[0])).astype(np.float32)


def degraded(truth: np.ndarray, seed: int) -> np.ndarray:
    """What a weaker detector might give."""
    rng = np.random.default_rng(seed)
    rows = truth[rng.random(len(truth)) > 0.15].copy()
    sides = np.tile(rows[:, 4:6] - rows[:, 2:4], 2)
    rows[:, 2:6] += rng.normal(0, 0.04, (len(rows), 4)) * sides
    weak = rng.random(len(rows)) < 0.2
    rows[:, 6] = np.where(weak, rng.uniform(0.1, 0.4, len(rows)), rng.uniform(0.4, 1, len(rows)))
    false = rows[rng.random(len(rows)) < 0.05].copy()
    false[:, [2, 4]] += rng.uniform(-200, 200, (len(false), 1))
    return np.concatenate([rows, false])


def own(rows: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """What the stage `track` makes of them."""
    stage = build({"high": 0.4, "low": 0.1, "match_iou": 0.2, "max_age": 1.0}, ("person",))
    image, out = np.zeros((1, 1, 3), np.uint8), []
    for n in range(frames):
        r = rows[rows[:, 0] == n].astype(np.float32)
        given = Detections(r[:, 2:6], r[:, 6], np.zeros(len(r), np.int64), ("person",))
        found, _ = stage.update(Frame(image, n / fps, n), given)
        ids = found.tracks.ids
        out += [[n, i, *b, 1] for i, b in zip(ids, found.boxes, strict=True)]
    return np.array(out)


def score(truth: np.ndarray, found: np.ndarray, frames: int) -> tuple[float, float, int]:
    """MOTA, IDF1 and changes of identity, at half overlap."""
    last: dict[int, int] = {}
    common: dict[tuple[int, int], int] = defaultdict(int)
    hits = switches = 0
    for n in range(frames):
        t, f = truth[truth[:, 0] == n], found[found[:, 0] == n]
        overlap = iou(t[:, 2:6], f[:, 2:6])
        for i, j in np.argwhere(overlap >= 0.5):
            common[int(t[i, 1]), int(f[j, 1])] += 1
            overlap[i, j] += last.get(int(t[i, 1])) == int(f[j, 1])
        for i, j in zip(*assign(-np.where(overlap >= 0.5, overlap, 0)), strict=True):
            if overlap[i, j] >= 0.5:
                hits += 1
                switches += last.get(int(t[i, 1]), int(f[j, 1])) != int(f[j, 1])
                last[int(t[i, 1])] = int(f[j, 1])
    table = np.zeros((int(truth[:, 1].max()) + 1, int(found[:, 1].max()) + 1))
    for (a, b), times in common.items():
        table[a, b] = times
    same = table[assign(-table)].sum()
    wrong = len(truth) - hits + len(found) - hits + switches
    return 1 - wrong / len(truth), 2 * same / (len(truth) + len(found)), switches


def main() -> None:
    """Print a line per tracker and seed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?")
    parser.add_argument("teacher", nargs="?")
    parser.add_argument("--peer", required=True)
    parser.add_argument("--frames", type=int, default=400)
    parser.add_argument("--fps", type=float, default=10.0, help="of made-up scenes")
    parser.add_argument("--seeds", type=int, nargs="+", default=range(10, 16))
    args = parser.parse_args()
    fps = args.fps
    if args.video:
        truth, fps = reference(args.video, args.teacher, args.frames)
        print(f"{args.frames} frames, {len(truth)} boxes, {len(set(truth[:, 1]))} objects")
    means: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    for seed in args.seeds:
        if args.video:
            rows = degraded(truth, seed)
        else:
            truth = scene(seed, args.frames, fps)
            rows = behind(degraded(truth, seed), truth, seed)
        with tempfile.TemporaryDirectory() as folder:
            given, made = Path(folder) / "given.npy", Path(folder) / "made.npy"
            np.save(given, rows)
            command = [args.peer, "-c", PEER, given, made, str(args.frames), str(fps)]
            subprocess.run(command, check=True)
            results = {"own": own(rows, args.frames, fps), "peer": np.load(made)}
        for name, found in results.items():
            means[name].append(score(truth, found, args.frames))
            mota, idf1, switches = means[name][-1]
            print(f"seed {seed} {name:5} MOTA {mota:.3f}  IDF1 {idf1:.3f}  switches {switches}")
    for name, scores in means.items():
        mota, idf1, switched = np.mean(scores, axis=0)
        print(f"mean {name:5} MOTA {mota:.3f}  IDF1 {idf1:.3f}  switches {switched:.1f}")


if __name__ == "__main__":
    main()
