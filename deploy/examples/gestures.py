"""Replay a sensor recording and print what was done, from when to when.

    python gestures.py watch recording.csv

The first line of the CSV names its columns; the model takes the channels that
it knows by name. A column called time, in seconds, is used if it is there.
"""

from __future__ import annotations

import sys

import edgenn


def main(model: str, recording: str) -> None:
    with edgenn.Pipeline(recording, model) as pipeline:
        spec = pipeline.model.manifest.input
        print(f"{spec.length / spec.rate:.2f} s of {', '.join(spec.channels)} at a time")
        for result in pipeline:
            for event in result.events:
                print(
                    f"{event.start:8.2f} s to {event.end:8.2f} s  {event.label}  {event.score:.2f}"
                )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
