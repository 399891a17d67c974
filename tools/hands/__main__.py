"""Makes hand-gesture.edgenn: a hand's stop, circles and moves from a camera.

    pip download --no-deps mediapipe==0.10.9
    python tools/hands mediapipe-0.10.9-*.whl

The nets for palms and hand landmarks are MediaPipe's (Apache-2.0) and are not part of this project:
they are taken from its wheel, or from a folder with both .tflite files. The net over the way of the
fore finger's tip lies beside this file: macro F1 0.981 on paths that it was not trained on. With
--points, a folder with point_history.csv, it is trained anew in a minute.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

from edgenn.bundle.compose import compose
from edgenn.ops.crop import HAND, PALM
from edgenn.runtime.foreign import Wishes
from edgenn.runtime.foreign.importing import import_model

HERE = Path(__file__).resolve().parent
FILES = {
    "palm": "mediapipe/modules/palm_detection/palm_detection_lite.tflite",
    "hand": "mediapipe/modules/hand_landmark/hand_landmark_lite.tflite",
}
FINGER_TIP = 8


def main() -> None:
    """Take, train, compose."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("nets", type=Path, help="MediaPipe's wheel, or a folder of both files")
    parser.add_argument("--points", type=Path, help="folder with point_history.csv")
    parser.add_argument("--hands", type=int, default=2, help="hands at a time")
    parser.add_argument("--work", type=Path, default=Path("out/hands"))
    parser.add_argument("--out", "-o", type=Path, default=Path("hand-gesture.edgenn"))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    palm = wrap(given, "palm", Wishes(name="palm"))
    hand = wrap(given, "hand", Wishes(name="hand"))
    trace = HERE / "point-history.edgenn" if given.points is None else train(given)
    rules = {
        "region": asdict(PALM),
        "again": asdict(HAND),
        "most": given.hands,
        "rate": 30.0,
        "label": "hand",
        # The data was filmed in 16:9, and each axis divided by its own side.
        "trace": {"point": FINGER_TIP, "ratio": 9 / 16},
    }
    held = {"background": ["hand"], "on": 0.6, "min_duration": 0.3}
    compose(palm, hand, trace, rules, given.out, name="hand-gesture", temporal={"held": held})
    print(f"wrote {given.out}; try: edgenn run {given.out} --camera 0 --show")


def wrap(given: argparse.Namespace, name: str, wishes: Wishes) -> Path:
    """One of MediaPipe's nets as a bundle."""
    inside = FILES[name]
    file = given.work / Path(inside).name
    if given.nets.is_dir():
        file.write_bytes((given.nets / file.name).read_bytes())
    else:
        with zipfile.ZipFile(given.nets) as wheel:
            file.write_bytes(wheel.read(inside))
    out = given.work / f"{name}.edgenn"
    print("\n".join(import_model(file, out, wishes).reasons))
    return out


def train(given: argparse.Namespace) -> Path:
    """The net over the way of a point."""
    environment = {**os.environ, "POINTS": str(given.points.resolve())}
    edgenn = [sys.executable, "-m", "edgenn"]
    for command in (
        ["train", str(HERE / "point-history.yaml"), "--name", "point-history"],
        ["export", "runs/point-history"],
    ):
        subprocess.run([*edgenn, *command], check=True, env=environment, cwd=given.work)
    return given.work / "point-history.edgenn"


if __name__ == "__main__":
    main()
