"""Count what crosses an upright line, both ways.

python line.py street.mp4 my.edgenn 0.5        the line at half of the picture's width
"""

from __future__ import annotations

import sys
from collections import Counter

import edgenn

WAYS = {"line:out": "to the right", "line:in": "to the left"}


def main(source: str = "0", model: str = "person", line: str = "0.5") -> None:
    counts: Counter[str] = Counter()
    x = float(line)
    stages = {"track": {}, "lines": {"lines": {"line": (x, 0, x, 1)}}}
    with edgenn.Pipeline(source, model, stages=stages) as pipeline:
        for result in pipeline:
            for event in result.events:
                counts[WAYS[event.label]] += 1
                print(f"{event.end:8.2f} s  {WAYS[event.label]}  object {event.track}")
    print(dict(counts))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
