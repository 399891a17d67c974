"""Count what a detector sees at once, by a callback, and stop when there is a crowd.

python count.py                       the built-in person detector on camera 0
python count.py street.mp4 my.edgenn 12
"""

from __future__ import annotations

import sys
from collections import Counter

import edgenn


def main(source: str = "0", model: str = "person", crowd: str = "10") -> None:
    most: Counter[str] = Counter()
    pipeline = edgenn.Pipeline(source, model)

    def look(result: edgenn.Result) -> None:
        found = result.prediction
        now = Counter(found.name(i) for i in range(len(found)))
        for label in now:
            most[label] = max(most[label], now[label])
        if sum(now.values()) >= int(crowd):
            print(f"{result.item.time:.2f} s: a crowd of {sum(now.values())}")
            pipeline.stop()

    summary = pipeline.run(look)
    print(f"{summary.frames} frames, most at once: {dict(most)}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
