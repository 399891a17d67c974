"""Print what a camera or a video shows.

python print_detections.py            the built-in person detector on camera 0
python print_detections.py street.mp4
python print_detections.py 0 my.edgenn
"""

from __future__ import annotations

import sys

import edgenn


def main(source: str = "0", model: str = "person") -> None:
    with edgenn.Pipeline(source, model) as pipeline:
        for result in pipeline:
            found = result.prediction
            for i in range(len(found)):
                x1, y1, x2, y2 = found.boxes[i]
                print(
                    f"{result.item.time:8.2f} s  {found.name(i)} {found.scores[i]:.2f}  "
                    f"from {x1:.0f},{y1:.0f} to {x2:.0f},{y2:.0f}"
                )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        pass
