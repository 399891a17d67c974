"""Heads of YOLOs, exported as their toolkits do and run as a user would."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

import edgenn
from edgenn.runtime.foreign import Wishes
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

SIZE, STRIDES = (64, 96), (8, 16, 32)


def _grid(stride: int) -> torch.Tensor:
    """(2, H * W) middles of the cells in net pixels."""
    y, x = torch.meshgrid(
        torch.arange(SIZE[0] // stride), torch.arange(SIZE[1] // stride), indexing="ij"
    )
    return (torch.stack([x, y]).flatten(1) + 0.5) * stride


def _colours(image: torch.Tensor, stride: int) -> torch.Tensor:
    """(1, 2, H * W) how red and how blue each cell is; only the coarsest grid sees things."""
    mean = nn.functional.avg_pool2d(image, stride).flatten(2)
    red, green, blue = mean[:, 0], mean[:, 1], mean[:, 2]
    logits = 30 * torch.stack([red - blue - green, blue - red - green], 1) - 15
    return torch.sigmoid(logits) * float(stride == 32)


class V8(nn.Module):
    """Boxes as large as their cell, channels first."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = []
        for stride in STRIDES:
            grid = _grid(stride)
            boxes = torch.cat([grid, torch.full_like(grid, stride)])[None]
            levels.append(torch.cat([boxes, _colours(image, stride)], 1))
        return torch.cat(levels, 2)


class V5(nn.Module):
    """Three anchors a cell, of which the second is as large as the cell; rows last."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        levels = []
        for stride in STRIDES:
            grid = _grid(stride)
            scores = _colours(image, stride)
            for times, there in ((0.5, 0.1), (1.0, 0.95), (2.0, 0.1)):
                boxes = torch.cat([grid, torch.full_like(grid, times * stride)])[None]
                one = torch.full_like(scores[:, :1], there)
                levels.append(torch.cat([boxes, one, scores], 1).transpose(1, 2))
        return torch.cat(levels, 1)


def _export(net: nn.Module, metadata: dict[str, str]) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        buffer = io.BytesIO()
        torch.onnx.export(
            net.eval(),
            (torch.zeros(1, 3, *SIZE),),
            buffer,
            input_names=["images"],
            output_names=["output0"],
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()


@pytest.fixture(scope="module", params=["yolov8", "yolov5"])
def head(request, tmp_path_factory):
    net, metadata = {
        "yolov8": (V8(), {"task": "detect", "names": "{0: 'red', 1: 'blue'}"}),
        "yolov5": (V5(), {"stride": "32", "names": "{0: 'red', 1: 'blue'}"}),
    }[request.param]
    path = tmp_path_factory.mktemp(request.param) / "head.onnx"
    path.write_bytes(_export(net, metadata))
    return request.param, path


def _picture() -> np.ndarray:
    """A red and a blue square, on cells of the coarsest grid at half the size."""
    picture = np.full((128, 192, 3), 20, np.uint8)
    picture[64:128, 0:64] = (0, 0, 255)
    picture[0:64, 128:192] = (255, 0, 0)
    return picture


def test_things_are_found_where_they_are(head):
    _, path = head
    found = edgenn.load(path).predict(_picture())
    assert sorted(found.name(i) for i in range(len(found))) == ["blue", "red"]
    boxes = {found.name(i): found.boxes[i] for i in range(2)}
    np.testing.assert_allclose(boxes["red"], [0, 64, 64, 128], atol=0.01)
    np.testing.assert_allclose(boxes["blue"], [128, 0, 192, 64], atol=0.01)


def test_the_bundle_made_of_it_finds_the_same(head, tmp_path):
    name, path = head
    found = import_model(path, tmp_path / "head.edgenn", Wishes(), [_picture()])
    assert found.manifest.decode.name == name
    ours, theirs = (edgenn.load(p).predict(_picture()) for p in (tmp_path / "head.edgenn", path))
    assert len(ours) == 2
    np.testing.assert_array_equal(ours.boxes, theirs.boxes)
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def _varying(path) -> None:
    """Rows as YOLOv7 gives them with --end2end: one where it is red, and one where it is blue."""
    rows = np.float32([[0, 0, 32, 32, 64, 0, 0.9], [0, 64, 0, 96, 32, 1, 0.8]])
    thresholds = np.float32([0.15, 2, 0.15])
    make, text = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes = [
        make("GlobalAveragePool", ["images"], ["mean"]),
        make("Reshape", ["mean", "three"], ["flat"]),
        make("Greater", ["flat", "thresholds"], ["seen"]),
        make("Gather", ["seen", "which"], ["both"]),
        make("Compress", ["rows", "both"], ["output"], axis=0),
    ]
    known = {"three": np.int64([3]), "thresholds": thresholds, "which": np.int64([0, 2])}
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "g",
        [info("images", onnx.TensorProto.FLOAT, [1, 3, *SIZE])],
        [info("output", onnx.TensorProto.FLOAT, ["found", 7])],
        [text(value, name) for name, value in {**known, "rows": rows}.items()],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)


def test_a_file_that_gives_as_many_rows_as_it_finds_is_run_and_bundled(tmp_path):
    path = tmp_path / "varying.onnx"
    _varying(path)
    dark = np.zeros((128, 192, 3), np.uint8)
    red = dark.copy()
    red[:, 96:] = (0, 0, 255)
    wishes = Wishes(labels=("red", "blue"))
    found = import_model(path, tmp_path / "varying.edgenn", wishes, [dark, red, _picture()])
    assert found.manifest.decode.name == "end2end"
    assert [check.status for check in verify(tmp_path / "varying.edgenn")] == ["pass"]
    model = edgenn.load(tmp_path / "varying.edgenn")
    assert len(model.predict(dark)) == 0
    told = model.predict(red)
    assert [told.name(0)] == ["red"]
    np.testing.assert_allclose(told.boxes, [[0, 64, 64, 128]])
    assert len(model.predict(_picture())) == 2
