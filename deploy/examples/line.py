"""Count what crosses an upright line, for one object at a time in a calm scene.

    python line.py street.mp4 my.edgenn 0.5        the line at half of the picture's width

The largest object of each frame is followed: where its middle was on one side and is on
the other, that counts. A crowd needs a tracker.
"""

from __future__ import annotations

import sys
from collections import Counter

import edgenn


def main(source: str = "0", model: str = "person", line: str = "0.5") -> None:
    counts: Counter[str] = Counter()
    before: bool | None = None
    with edgenn.Pipeline(source, model) as pipeline:
        for result in pipeline:
            boxes = result.prediction.boxes
            if not len(boxes):
                before = None
                continue
            areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            x1, _, x2, _ = boxes[areas.argmax()]
            right = bool((x1 + x2) / 2 > float(line) * result.item.image.shape[1])
            if before is not None and right != before:
                way = "to the right" if right else "to the left"
                counts[way] += 1
                print(f"{result.item.time:8.2f} s  {way}")
            before = right
    print(dict(counts))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
