"""DETR and RT-DETR, from small exported nets."""

from __future__ import annotations

import cv2
import numpy as np
import onnx
import pytest
import torch
from colour_nets import (
    BLUE,
    IMAGENET,
    LABELS,
    RED,
    SIZE,
    UNIT,
    Net,
    assert_found,
    cells,
    constant,
    convert,
    draw,
    export,
)

from edgenn.runtime.foreign import Wishes, describe, load_any

TWO = (16, 32)


class Detr(Net):
    """Logits and boxes on 0..1 of one query for each cell.

    Args:
        nothing: Whether the last column is "no object", as softmax needs it.
        more: See `Net`.
    """

    def __init__(self, nothing: bool, *more, **named) -> None:
        super().__init__(*more, **named)
        self.nothing = nothing
        self.boxes = constant(cells(TWO).boxes / ([SIZE[1], SIZE[0]] * 2))

    def forward(self, image):
        logits = self.seen(image, TWO)
        if self.nothing:
            logits = torch.cat([logits, torch.zeros_like(logits[..., :1])], 2)
        return logits, self.boxes + 0 * logits.sum()


@pytest.mark.parametrize(
    ("net", "names"),
    [
        (Detr(True, IMAGENET), ["logits", "pred_boxes"]),
        (Detr(False, UNIT), ["logits", "pred_boxes"]),
        (Detr(False, IMAGENET), ["labels", "dets"]),
    ],
    ids=["detr", "rt-detr", "rf-detr"],
)
def test_boxes_of_queries(tmp_path, net, names):
    path = export(net, tmp_path / "detr.onnx", names)
    model = load_any(path, LABELS)
    assert model.manifest.decode.name == "detr"
    for things in ([], [RED], [BLUE], [RED, BLUE]):
        assert_found(model.predict(draw("stretch", things)), "stretch", things)


def test_queries_in_8_bits(tmp_path):
    drawn = [draw("stretch", things) for things in ([], [RED], [BLUE], [RED, BLUE])]
    inputs = [cv2.resize(picture, SIZE[::-1])[None, ..., ::-1] / 255 for picture in drawn]
    samples = [np.asarray(values, np.float32) for values in inputs]
    # No picture is white, so the codes of the input end before 1.
    path = convert(Detr(False, UNIT, sharp=20), tmp_path / "detr.tflite", samples)
    found = describe(path, Wishes(labels=LABELS, layout="detr"))
    assert found.manifest.variants[0].precision == "int8"
    model = load_any(path, LABELS, wishes=Wishes(layout="detr"))
    assert_found(model.predict(drawn[-1]), "stretch", atol=1.5, slack=0.1)


def test_other_outputs_beside_them_are_left_alone(tmp_path):
    class Auxiliary(Detr):
        def forward(self, image):
            logits, boxes = super().forward(image)
            return boxes * 0 + 0.5, logits * 0 + 9, boxes, logits

    names = ["hidden", "encoded", "pred_boxes", "logits"]
    path = export(Auxiliary(False, UNIT), tmp_path / "detr.onnx", names)
    assert_found(load_any(path, LABELS).predict(draw("stretch")), "stretch")


@pytest.mark.parametrize("mask", [(1, 64, 64), (1, -1, -1)])
def test_files_of_hugging_face_leave_even_the_channels_free(tmp_path, mask):
    class Masked(Detr):
        def forward(self, image, pixel_mask):
            logits, boxes = super().forward(image)
            return logits - 20 * (1 - pixel_mask.float().mean()), boxes

    more = {"pixel_mask": torch.ones(1, 64, 64, dtype=torch.int64)}
    path = export(Masked(True, IMAGENET), tmp_path / "a.onnx", ["logits", "pred_boxes"], more=more)
    model = onnx.load(path)
    for i, dim in enumerate(model.graph.input[0].type.tensor_type.shape.dim):
        dim.dim_param = f"free{i}"
    for i, dim in enumerate(model.graph.input[1].type.tensor_type.shape.dim):
        if mask[i] < 0:
            dim.dim_param = f"side{i}"
    onnx.save(model, path)
    model = load_any(path, wishes=Wishes(labels=LABELS, size=SIZE))
    assert model.manifest.variants[0].constants["pixel_mask"].shape == (1, 64, 64)
    assert_found(model.predict(draw("stretch")), "stretch")


def test_pictures_of_detectors_are_guessed_larger_than_those_of_classifiers(tmp_path):
    class Anywhere(Net):
        def forward(self, image):
            logits = self.seen(image, TWO)[:, :50]
            return logits, logits.sum(2, keepdim=True) + torch.zeros(1, 50, 4)

    path = export(Anywhere(), tmp_path / "a.onnx", ["logits", "pred_boxes"], size=(224, 224))
    model = onnx.load(path)
    for i in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[i].dim_param = f"free{i}"
    onnx.save(model, path)
    found = describe(path, Wishes(labels=LABELS))
    assert found.manifest.input.size == (640, 640)
    assert any("size 640 x 640: the file leaves it free" in line for line in found.reasons)
