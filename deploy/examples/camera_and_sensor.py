"""What a camera sees, and how much a sensor shook meanwhile.

python camera_and_sensor.py 0 serial:/dev/ttyUSB0
python camera_and_sensor.py hall/ hall/        a recording of both, by edgenn record
"""

from __future__ import annotations

import sys

import numpy as np

import edgenn
from edgenn.runtime.join import open_joined


def main(camera: str, sensor: str, name: str = "person") -> None:
    model = edgenn.load(name)
    with edgenn.Pipeline(open_joined(model, camera, sensor), model) as pipeline:
        for result in pipeline:
            readings = result.item.readings
            if readings is None:
                continue  # none came since the frame before
            shaken = float(np.nan_to_num(readings.values).std(axis=0).max())
            found = [result.prediction.name(i) for i in range(len(result.prediction))]
            count, seen = len(readings.times), ", ".join(found) or "nothing"
            print(
                f"{result.item.time:8.2f} s  {count:3} readings, shaken {shaken:.2f}, seen: {seen}"
            )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except edgenn.EdgennError as error:
        sys.exit(str(error))
