"""Runs in the peer's environment only.

python peer.py make             writes yolo11n.onnx, 320 pixels, random weights
python peer.py MODEL VIDEO      prints a line per frame
"""

from __future__ import annotations

import sys

from ultralytics import YOLO


def main() -> None:
    """One of both."""
    if sys.argv[1] == "make":
        YOLO("yolo11n.yaml").export(format="onnx", imgsz=320, opset=18)
        return
    model, video = sys.argv[1:]
    for result in YOLO(model, task="detect").predict(video, stream=True, imgsz=320, verbose=False):
        print(len(result.boxes), flush=True)


if __name__ == "__main__":
    main()
