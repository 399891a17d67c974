"""Runs in the peer's environment only: trains YOLO11n from scratch and exports it.

    python peer.py DATA_YAML MINUTES SIZE OUT

Writes OUT/yolo11n.onnx, OUT/yolo11n.pt2 (for the conversion to TFLite) and
OUT/results.csv.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from ultralytics import YOLO


def train(data: str, minutes: float, size: int, out: Path) -> Path:
    """The last weights: the test photos choose nothing."""
    model = YOLO("yolo11n.yaml")
    model.train(
        data=data,
        imgsz=size,
        batch=16,
        time=minutes / 60,
        val=False,
        plots=False,
        pretrained=False,
        cache="ram",
        device="cpu",
        workers=2,
        seed=0,
        project=str(out.resolve()),
        name="train",
        exist_ok=True,
    )
    shutil.copy(out / "train" / "results.csv", out / "results.csv")
    return out / "train" / "weights" / "last.pt"


def export(weights: Path, size: int, out: Path) -> None:
    """ONNX as its users get it, and a graph that other converters read."""
    model = YOLO(str(weights))
    shutil.move(model.export(format="onnx", imgsz=size, opset=18), out / "yolo11n.onnx")
    net = YOLO(str(weights)).model.float().eval().fuse()
    net.model[-1].export, net.model[-1].format = True, "onnx"
    image = torch.zeros(1, 3, size, size)
    net(image)
    torch.export.save(torch.export.export(net, (image,)), out / "yolo11n.pt2")


if __name__ == "__main__":
    DATA, MINUTES, SIZE, OUT = sys.argv[1:]
    folder = Path(OUT)
    export(train(DATA, float(MINUTES), int(SIZE), folder), int(SIZE), folder)
