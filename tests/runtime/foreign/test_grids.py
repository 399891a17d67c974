"""Detectors with a box for each cell, exported as their toolkits do and run as a user would."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colour_nets import (
    AS_IS,
    IMAGENET,
    IMAGENET_BGR,
    LABELS,
    RED,
    SCORE,
    SIZE,
    UNIT,
    Net,
    assert_found,
    cells,
    constant,
    draw,
    export,
    to_frame,
)
from torch import nn

import edgenn
from edgenn.errors import UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model

THREE, FOUR = (8, 16, 32), (8, 16, 32, 64)


class YoloX(Net):
    """Rows of box, objectness and classes; ``decoded`` as with --decode_in_inference."""

    def __init__(self, decoded: bool) -> None:
        super().__init__(AS_IS, "bgr")
        grid = cells(THREE)
        boxes = grid.boxes
        if not decoded:
            corner = grid.middles / grid.strides - 0.5
            middle, sides = boxes[:, :2] / grid.strides - corner, boxes[:, 2:] / grid.strides
            boxes = np.concatenate([middle, np.log(sides)], 1)
        self.boxes = constant(np.concatenate([boxes, np.full((len(boxes), 1), 0.9)], 1))

    def forward(self, image):
        return torch.cat([self.boxes, self.seen(image, THREE).sigmoid()], 2)


def test_a_yolox_of_a_few_classes_is_told_by_boxes_that_are_to_be_decoded(tmp_path):
    path = export(YoloX(False), tmp_path / "yolox.onnx")
    assert describe(path, Wishes()).manifest.decode.name == "yolox"
    with pytest.raises(UsageError, match=r"--as yolov5 .*--as yolov8 .*--as yolox"):
        describe(export(YoloX(True), path), Wishes())


@pytest.mark.parametrize("decoded", [False, True])
def test_yolox_with_and_without_decoded_boxes(tmp_path, decoded):
    path = export(YoloX(decoded), tmp_path / "yolox.onnx")
    found = import_model(path, tmp_path / "yolox.edgenn", Wishes(labels=LABELS), [draw("start")])
    assert found.manifest.decode.name == "yolox"
    assert any("in pixels" in reason for reason in found.reasons) == decoded
    told = edgenn.load(tmp_path / "yolox.edgenn").predict(draw("start"))
    assert_found(told, "start", score=0.9 * SCORE)


def _spread(distances: np.ndarray, reach: int) -> np.ndarray:
    """(N, 4 * (R + 1)) logits whose softmax has these (N, 4) means."""
    low = np.floor(distances)
    share = distances - low
    steps = np.arange(reach + 1)
    chance = (1 - share)[..., None] * (steps == low[..., None])
    chance += share[..., None] * (steps == low[..., None] + 1)
    return np.log(chance + 1e-9).reshape(len(distances), -1)


class NanoDet(Net):
    """One tensor of classes and distributions; Plus measures from the corner of the cell."""

    def __init__(self, strides: tuple[int, ...], reach: int = 7) -> None:
        super().__init__(IMAGENET_BGR, "bgr")
        self.strides, grid = strides, cells(strides)
        distances = grid.reach / grid.strides
        if len(strides) == 4:
            distances += np.array([-0.5, -0.5, 0.5, 0.5])
        self.boxes = constant(_spread(distances, reach))

    def forward(self, image):
        return torch.cat([self.seen(image, self.strides).sigmoid(), self.boxes], 2)


@pytest.mark.parametrize(
    ("strides", "reach", "fit"),
    [(THREE, 7, "letterbox"), (FOUR, 7, "stretch"), (FOUR, 10, "stretch")],
)
def test_nanodet_and_plus(tmp_path, strides, reach, fit):
    path = export(NanoDet(strides, reach), tmp_path / "nanodet.onnx")
    model = load_any(path, LABELS)
    assert model.manifest.decode.name == "nanodet"
    assert_found(model.predict(draw(fit)), fit)


class Levels(Net):
    """Scores and distributions of each grid apart."""

    def __init__(self, strides: tuple[int, ...], *scale) -> None:
        super().__init__(*scale)
        grids = [cells((stride,)) for stride in strides]
        self.strides = strides
        self.boxes = [constant(_spread(grid.reach / grid.strides, 7)) for grid in grids]

    def forward(self, image):
        scores = [self.seen(image, (stride,)).sigmoid() for stride in self.strides]
        # Outputs that are constants are named after their values by the exporter.
        return *scores, *(boxes + 0 * scores[0].sum() for boxes in self.boxes)


@pytest.mark.parametrize(
    ("strides", "scale", "order", "fit"),
    [(FOUR, IMAGENET, "rgb", "stretch"), (THREE, IMAGENET_BGR, "bgr", "letterbox")],
    ids=["picodet", "first nanodet"],
)
def test_picodet_without_its_post_processing(tmp_path, strides, scale, order, fit):
    names = [f"transpose_{2 * i}.tmp_0" for i in range(2 * len(strides))]
    path = export(Levels(strides, scale, order), tmp_path / "picodet.onnx", names)
    model = load_any(path, LABELS)
    assert model.manifest.decode.name == "picodet"
    assert_found(model.predict(draw(fit)), fit)


class Decoded(Net):
    """Corners in pixels, and scores with the classes first."""

    def __init__(self, strides: tuple[int, ...], scale) -> None:
        super().__init__(scale)
        self.strides, self.boxes = strides, constant(cells(strides).corners)

    def forward(self, image):
        scores = self.seen(image, self.strides).sigmoid().transpose(1, 2)
        return self.boxes + 0 * scores.sum(), scores


def test_picodet_with_its_post_processing(tmp_path):
    names = ["tmp_16", "concat_4.tmp_0"]
    path = export(Decoded(FOUR, IMAGENET), tmp_path / "picodet.onnx", names)
    assert_found(load_any(path, LABELS).predict(draw("stretch")), "stretch")


def test_of_ppyoloe_the_scaling_must_be_said(tmp_path):
    path = export(Decoded(THREE, UNIT), tmp_path / "ppyoloe.onnx", ["tmp_20", "concat_14.tmp_0"])
    with pytest.raises(UsageError, match="--normalize"):
        describe(path, Wishes(labels=LABELS))
    model = load_any(path, LABELS, wishes=Wishes(normalize="0..1"))
    assert_found(model.predict(draw("stretch")), "stretch")


class FastestDet(Net):
    """A map of 5 + C channels at stride 16."""

    def __init__(self) -> None:
        super().__init__(UNIT, "bgr")
        grid = cells((16,))
        corner = grid.middles - 8
        way = np.arctanh((grid.boxes[:, :2] - corner) / 16)
        share = grid.boxes[:, 2:] / (SIZE[1], SIZE[0])
        sides = np.log(share / (1 - share))
        self.boxes = constant(np.concatenate([np.full((len(way), 1), 0.9), way, sides], 1))

    def forward(self, image):
        rows = torch.cat([self.boxes, self.seen(image, (16,)).sigmoid()], 2)
        return rows.transpose(1, 2).reshape(1, 7, SIZE[0] // 16, SIZE[1] // 16)


def test_fastestdet(tmp_path):
    model = load_any(export(FastestDet(), tmp_path / "fastestdet.onnx", ["map"]), LABELS)
    assert model.manifest.decode.name == "fastestdet"
    assert_found(model.predict(draw("stretch")), "stretch", [RED], 0.9**0.6 * SCORE**0.4)


class Edges(Net):
    """Distances in strides and logits, as edgenn's own detectors give them."""

    def __init__(self) -> None:
        super().__init__()
        grid = cells(THREE)
        self.boxes = nn.Parameter(constant(grid.reach / grid.strides))

    def forward(self, image):
        scores = self.seen(image, THREE)
        return self.boxes + 0 * scores.sum(), scores


def test_distances_to_the_edges_are_read_where_the_user_says_so(tmp_path):
    path = export(Edges(), tmp_path / "ltrb.onnx", ["boxes", "scores"])
    with pytest.raises(UsageError, match="--as ltrb"):
        describe(path, Wishes(labels=LABELS, normalize="0..1"))
    model = load_any(path, LABELS, wishes=Wishes(layout="ltrb", normalize="0..1"))
    assert_found(model.predict(draw("letterbox")), "letterbox")


class YoloV6(Net):
    """Rows of decoded box, an objectness of 1, and classes."""

    def __init__(self) -> None:
        super().__init__(UNIT)
        boxes = cells(THREE).boxes
        self.boxes = constant(np.concatenate([boxes, np.ones((len(boxes), 1))], 1))

    def forward(self, image):
        return torch.cat([self.boxes, self.seen(image, THREE).sigmoid()], 2)


def test_yolov6_is_known_by_the_name_of_its_output(tmp_path):
    model = load_any(export(YoloV6(), tmp_path / "yolov6.onnx", ["outputs"]), LABELS)
    assert model.manifest.decode.name == "yolov5"
    assert_found(model.predict(draw("letterbox")), "letterbox")


class YoloV8(Net):
    """Columns of box, classes and more; ``unit`` boxes are on 0..1.

    Args:
        more: (1, E, N) further rows of each cell.
        unit: Net pixels that 1 means, across and down.
        masks: Whether there are prototypes of masks.
    """

    def __init__(self, more: np.ndarray, unit=(1, 1), *, masks: bool = False) -> None:
        super().__init__(UNIT)
        self.boxes = constant((cells(THREE).boxes / [*unit, *unit]).T)
        self.more, self.masks = constant(more), masks

    def forward(self, image):
        scores = self.seen(image, THREE).sigmoid().transpose(1, 2)
        rows = torch.cat([self.boxes, scores, self.more], 1)
        return (rows, image[:, :1, ::4, ::4].repeat(1, 32, 1, 1)) if self.masks else rows


GRID = cells(THREE)
NOTHING = np.zeros((0, len(GRID.middles)))
SAID = {"stride": "32", "names": "{0: 'red', 1: 'blue'}"}


@pytest.mark.parametrize(
    ("net", "said", "outputs"),
    [
        (YoloV8(NOTHING, (SIZE[1], SIZE[0])), {"task": "detect"}, ["output0"]),
        (
            YoloV8(np.full((32, len(GRID.middles)), 0.5), masks=True),
            {"task": "segment"},
            ["output0", "output1"],
        ),
    ],
    ids=["0..1", "masks"],
)
def test_yolov8_with_other_boxes_and_with_masks(tmp_path, net, said, outputs):
    model = load_any(export(net, tmp_path / "yolov8.onnx", outputs, SAID | said))
    assert model.manifest.decode.name == "yolov8"
    assert_found(model.predict(draw("letterbox")), "letterbox")


def test_yolov8_with_key_points(tmp_path):
    x, y = GRID.middles.T
    points = np.stack([x - 3, y + 1, 0 * x + 0.75, x + 4, y - 2, 0 * x + 0.25])
    said = {**SAID, "task": "pose", "kpt_shape": "[2, 3]"}
    path = export(YoloV8(points), tmp_path / "pose.onnx", ["output0"], said)
    found = load_any(path).predict(draw("letterbox", [RED]))
    assert_found(found, "letterbox", [RED])
    x, y = RED.middle
    first, second = to_frame(x - 3, y + 1, "letterbox"), to_frame(x + 4, y - 2, "letterbox")
    np.testing.assert_allclose(found.keypoints, [[(*first, 0.75), (*second, 0.25)]], atol=0.01)


class YoloNas(Net):
    """Corners of every cell, in units of ``unit`` net pixels, and its scores."""

    def __init__(self, unit: float) -> None:
        super().__init__(UNIT)
        self.corners = constant(cells(THREE).corners / unit)

    def forward(self, image):
        scores = self.seen(image, THREE).sigmoid()
        return self.corners + 0 * scores.sum(), scores


def test_corners_beside_scores_are_told_by_where_they_lie(tmp_path):
    path = tmp_path / "nas.onnx"
    wishes = Wishes(labels=LABELS, normalize="0..1")
    model = load_any(export(YoloNas(1), path, ["x913", "x904"]), wishes=wishes)
    assert model.manifest.decode.name == "picodet"
    assert_found(model.predict(draw("start")), "start")
    with pytest.raises(UsageError, match="--as picodet"):
        describe(export(YoloNas(8), path, ["x913", "x904"]), wishes)
