from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from edgenn.errors import UsageError
from edgenn.nets import NetSpec, csp


@pytest.mark.parametrize(
    ("size", "low", "high"),
    [("n", 0.2, 0.4), ("s", 0.8, 1.1), ("m", 3, 4), ("yolox", 0.8, 1.1)],
)
def test_outputs_have_one_row_per_cell_and_sizes_keep_their_class(
    size: str, low: float, high: float
) -> None:
    net = csp.build(csp.SIZES[size], NetSpec(3, (64, 96))).eval()
    with torch.no_grad():
        boxes, scores = net(torch.rand(2, 3, 64, 96))
    cells = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (2, cells, 4)
    assert scores.shape == (2, cells, 3)
    assert (boxes >= 0).all() or size == "yolox"
    assert scores.sigmoid().mean() < 0.05
    assert low < sum(p.numel() for p in net.parameters()) / 1e6 < high


def test_refuses_sides_that_the_strides_do_not_divide() -> None:
    with pytest.raises(UsageError, match="multiples of 32"):
        csp.build(csp.SIZES["n"], NetSpec(1, (100, 96)))


def test_objectness_raises_all_classes_alike():
    net = csp.build(csp.SIZES["yolox"], NetSpec(3, (64, 64))).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(x)
        for head in net.heads:
            head.outputs.objectness.bias += 2
        after = net(x)
    torch.testing.assert_close(after[1], before[1] + 2)
    torch.testing.assert_close(after[0], before[0])


def test_weights_of_yolox_nano_give_its_scores_and_boxes(real_data, monkeypatch):
    tools = Path(__file__).parents[2] / "tools" / "data"
    monkeypatch.syspath_prepend(str(tools))
    spec = importlib.util.spec_from_file_location("yolox_nano", tools / "yolox_nano.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    photos = sorted((real_data / "detection/coco128-train").rglob("*.jpg"))[:24]
    small = np.stack([cv2.resize(cv2.imread(str(p)), (416, 416)) for p in photos])
    rgb = torch.from_numpy(small[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    model = real_data / "models" / "yolox_nano.onnx"
    classes = [56, 0]
    net = tool.mapped(model, rgb[:16], classes)

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    bgr = small[16:].transpose(0, 3, 1, 2).astype(np.float32)
    name = session.get_inputs()[0].name
    theirs = np.concatenate([session.run(None, {name: x[None]})[0] for x in bgr])
    with torch.no_grad():
        boxes, scores = (o.numpy() for o in net(rgb[16:]))
    for column, class_id in enumerate(classes):
        given = theirs[..., [4, 5 + class_id]]
        sure = given.prod(-1) > 0.1
        assert sure.sum() > 5
        logit = np.log(given[sure]) - np.log1p(-given[sure])
        np.testing.assert_allclose(scores[sure][:, column], logit.sum(1), atol=0.01)
        np.testing.assert_allclose(boxes[sure], theirs[sure][:, :4], atol=0.01)
