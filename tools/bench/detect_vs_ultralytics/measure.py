"""Quality and time of detectors, whoever trained them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
import torch
from ai_edge_litert.interpreter import Interpreter

from edgenn.compress import litert as litert_int8
from edgenn.compress import onnx as onnx_int8
from edgenn.data.feed import Feed
from edgenn.ops.decode._select import finish, strongest
from edgenn.ops.decode.ltrb import Params
from edgenn.ops.preprocess import Letterbox, geometry
from edgenn.train.evaluate import EVAL_CONF, MAX_DET, Metrics, evaluate
from edgenn.types import Detections, Floats

Infer = Callable[[Floats], Floats]
IOU = 0.7  # what the peer validates with


def peer_files(out: Path, samples: list[Floats]) -> dict[str, Path]:
    """YOLO11n in four files. Its int8 is made by the quantisers that ours go through."""
    import litert_torch

    files = {
        f"{p} {f}": out / f"yolo11n.{p}.{f}" for f in ("onnx", "tflite") for p in ("fp32", "int8")
    }
    plain = (out / "yolo11n.onnx").read_bytes()
    files["fp32 onnx"].write_bytes(plain)
    files["int8 onnx"].write_bytes(onnx_int8.static_int8(plain, samples, "minmax"))
    net = torch.export.load(out / "yolo11n.pt2").module()

    class First(torch.nn.Module):
        """The net without `eval`, which exported modules refuse."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.net(x)
            return y[0] if isinstance(y, (tuple, list)) else y

        def eval(self) -> First:
            return self

    last = litert_torch.to_channel_last_io(First(), args=[0])
    wide = [np.ascontiguousarray(s.transpose(0, 2, 3, 1)) for s in samples]
    litert_torch.convert(last, (torch.from_numpy(wide[0]),)).export(str(files["fp32 tflite"]))
    data = files["fp32 tflite"].read_bytes()
    files["int8 tflite"].write_bytes(litert_int8.static_int8(data, wide))
    return files


def opened(path: Path) -> Infer:
    """One inference on one thread: (1, 3, H, W) float32 in, the first output back."""
    if path.suffix == ".onnx":
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})[0]
    runner = Interpreter(str(path), num_threads=1).get_signature_runner()
    ((name, taken),) = runner.get_input_details().items()
    first, given = sorted(runner.get_output_details().items())[0]

    def infer(x: Floats) -> Floats:
        y = runner(**{name: codes(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), taken)})[first]
        scale, zero = given["quantization"]
        return (y.astype(np.float32) - zero) * scale if scale else y

    return infer


def codes(x: Floats, details: Mapping[str, Any]) -> np.ndarray:
    """Floats as an input takes them, int8 or float."""
    scale, zero = details["quantization"]
    if not scale:
        return x
    return (np.rint(x / scale) + zero).clip(-128, 127).astype(np.int8)


def peer_quality(path: Path, feed: Feed, labels: tuple[str, ...], size: int) -> Metrics:
    """YOLO11n through the evaluator that judges ours; input RGB 0..1, letterboxed."""
    infer, step = opened(path), Letterbox((size, size))
    limits = Params(conf=EVAL_CONF, iou=IOU, max_det=MAX_DET)

    def predict(i: int) -> Detections:
        rows = infer(feed[i].x[None])[0].T  # (N, 4 + C): centre, width and height, scores
        cells, ids = np.nonzero(rows[:, 4:] >= EVAL_CONF)
        cells, ids, scores = strongest(cells, ids, rows[cells, 4 + ids], 3000)
        centre, half = rows[cells, :2], rows[cells, 2:4] / 2
        boxes = np.concatenate([centre - half, centre + half], 1).astype(np.float32)
        way = geometry(feed.raw(i).shape[:2], step)
        return finish((boxes, scores, ids), limits, labels, way)

    return evaluate("detect", predict, feed, labels)


def times(models: dict[str, tuple[Path, int]], rounds: int = 60) -> dict[str, float]:
    """Median milliseconds of one inference on one thread, all models taking turns.

    Args:
        models: File and side of the input, by name.
        rounds: Inferences of each.
    """
    runs = {n: (raw(path), size) for n, (path, size) in models.items()}
    inputs = {size: np.zeros((1, 3, size, size), np.float32) for _, size in runs.values()}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, size) in runs.items():
            start = perf_counter()
            run(inputs[size])
            taken[name].append(perf_counter() - start)
    # The first rounds warm caches up.
    return {name: float(np.median(t[5:])) * 1e3 for name, t in taken.items()}


def raw(path: Path) -> Callable[[Floats], object]:
    """The engine's own call and nothing else: ``session.run``, or ``invoke``."""
    if path.suffix == ".onnx":
        return opened(path)
    engine = Interpreter(str(path), num_threads=1)
    engine.allocate_tensors()
    return lambda _: engine.invoke()
