"""Detectors whose file leaves nothing to do, in the forms of the toolkits that export them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colour_nets import (
    BLUE,
    IMAGENET,
    IMAGENET_BGR,
    LABELS,
    RED,
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

import edgenn
from edgenn.errors import UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

TWO = (16, 32)
COUNT = len(cells(TWO).reach)
ULTRALYTICS = {"task": "detect", "stride": "32", "names": "{0: 'red', 1: 'blue'}"}


class Cells(Net):
    """Corners, best score and class of every cell; subclasses put them into tensors."""

    def __init__(self, scale=UNIT, order: str = "rgb") -> None:
        super().__init__(scale, order)
        self.corners = constant(cells(TWO).corners)

    def lists(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(1, N, 4) and (1, N, 2) in falling order of the best score, as these files have them."""
        scores = self.seen(image, TWO).sigmoid()
        best = scores.amax(2).argsort(1, descending=True)[0]
        return self.corners[:, best], scores[:, best]


class Rows(Cells):
    """300 rows of corners, score and class; then key points: two corners of the box."""

    def __init__(self, points: bool = False) -> None:
        super().__init__()
        self.points = points

    def forward(self, image):
        boxes, scores = self.lists(image)
        best, ids = scores.max(2, keepdim=True)
        parts = [boxes, best, ids.float()]
        if self.points:
            seen = torch.full_like(best, 0.75)
            parts += [boxes[..., :2], seen, boxes[..., 2:], seen / 3]
        return torch.nn.functional.pad(torch.cat(parts, 2), (0, 0, 0, 300 - COUNT))


@pytest.mark.parametrize("more", [{}, {"end2end": "True"}])
def test_rows_of_yolov10(tmp_path, more):
    model = load_any(export(Rows(), tmp_path / "a.onnx", ["output0"], ULTRALYTICS | more))
    assert model.manifest.decode.name == "end2end"
    assert_found(model.predict(draw("letterbox")), "letterbox")


def test_rows_with_key_points(tmp_path):
    said = {**ULTRALYTICS, "task": "pose", "kpt_shape": "[2, 3]"}
    found = load_any(export(Rows(True), tmp_path / "a.onnx", ["output0"], said)).predict(
        draw("letterbox", [BLUE])
    )
    assert_found(found, "letterbox", [BLUE])
    (x, y), (left, top, right, bottom) = BLUE.middle, BLUE.reach
    wanted = [
        [*to_frame(x - left, y - top, "letterbox"), 0.75],
        [*to_frame(x + right, y + bottom, "letterbox"), 0.25],
    ]
    np.testing.assert_allclose(found.keypoints[0], wanted, atol=0.01)


class Queries(Cells):
    """What ultralytics makes of RT-DETR: 300 rows of box on 0..1 and scores."""

    def forward(self, image):
        boxes, scores = self.lists(image)
        unit = boxes / torch.tensor([SIZE[1], SIZE[0]] * 2)
        middle, sides = (unit[..., :2] + unit[..., 2:]) / 2, unit[..., 2:] - unit[..., :2]
        rows = torch.cat([middle, sides, scores], 2)
        return torch.nn.functional.pad(rows, (0, 0, 0, 300 - COUNT))


@pytest.mark.parametrize("more", [{}, {"description": "Ultralytics rtdetr-l model"}])
def test_an_rtdetr_of_two_classes_is_told_from_corners_score_and_class(tmp_path, more):
    path = export(Queries(), tmp_path / "a.onnx", ["output0"], ULTRALYTICS | more)
    model = load_any(path)
    assert model.manifest.decode.name == "yolov8"
    assert_found(model.predict(draw("stretch")), "stretch")


def test_rows_that_no_value_tells_apart_are_asked_for(tmp_path):
    class Nothing(Net):
        def forward(self, image):
            return image.mean() * 0 + torch.full((1, 300, 6), torch.nan)

    path = export(Nothing(), tmp_path / "a.onnx", ["output0"], ULTRALYTICS)
    with pytest.raises(UsageError, match=r"--as end2end .*--as yolov8"):
        describe(path, Wishes())


class Batch(Cells):
    """As YOLOv7 with --end2end: one row for each thing that is found, however many."""

    def forward(self, image):
        boxes, scores = self.lists(image)
        best, ids = scores[0].max(1, keepdim=True)
        rows = torch.cat([torch.zeros_like(best), boxes[0], ids.float(), best], 1)
        return rows[best[:, 0] > 0.25]


class Paddle(Cells):
    """As PicoDet with its post-processing and NMS; it divides by what the picture was scaled by."""

    def forward(self, image, scale_factor):
        boxes, scores = self.lists(image)
        boxes = boxes / torch.cat([scale_factor, scale_factor], 1).flip(1)[:, None]
        best, ids = scores[0].max(1, keepdim=True)
        rows = torch.cat([ids.float(), best, boxes[0]], 1)
        # What lies beyond the count is rubbish.
        rows[:, 1] = torch.where(rows[:, 1] > 0.25, rows[:, 1], 1.0)
        return rows, (best > 0.25).sum(0).to(torch.int32)


class MmDeploy(Cells):
    """Detections and labels, as many as there are."""

    def forward(self, image):
        boxes, scores = self.lists(image)
        best, ids = scores.max(2, keepdim=True)
        there = best[0, :, 0] > 0.25
        return torch.cat([boxes, best], 2)[:, there], ids[:, there, 0]


PADDLE_NAMES = ["multiclass_nms3_0.tmp_0", "multiclass_nms3_0.tmp_2"]
FACTOR = {"scale_factor": torch.ones(1, 2)}


@pytest.mark.parametrize(
    ("net", "names", "more", "fit", "wishes"),
    [
        (Batch(), ["output"], {}, "letterbox", Wishes(labels=LABELS)),
        (
            Paddle(),
            PADDLE_NAMES,
            FACTOR,
            "stretch",
            Wishes(labels=LABELS, normalize="0..1"),
        ),
        (
            MmDeploy(IMAGENET_BGR, "bgr"),
            ["dets", "labels"],
            {},
            "start",
            Wishes(
                labels=LABELS, normalize="103.53,116.28,123.675:57.375,57.12,58.395", color="bgr"
            ),
        ),
    ],
    ids=["yolov7", "paddle", "mmdeploy"],
)
def test_files_that_give_as_many_rows_as_they_find(tmp_path, net, names, more, fit, wishes):
    path = export(net, tmp_path / "a.onnx", names, more=more)
    bundle = tmp_path / "a.edgenn"
    pictures = [draw(fit, []), draw(fit, [RED]), draw(fit)]
    assert import_model(path, bundle, wishes, pictures).manifest.decode.name == "end2end"
    assert [check.status for check in verify(bundle)] == ["pass"]
    model = edgenn.load(bundle)
    for things in ([], [RED], [BLUE], [RED, BLUE]):
        assert_found(model.predict(draw(fit, things)), fit, things)


def test_of_mmdeploy_the_scaling_must_be_said(tmp_path):
    path = export(MmDeploy(), tmp_path / "a.onnx", ["dets", "labels"])
    with pytest.raises(UsageError, match="--normalize"):
        describe(path, Wishes(labels=LABELS))


class TensorRt(Cells):
    """Four lists; what lies beyond the count is rubbish."""

    def forward(self, image):
        boxes, scores = self.lists(image)
        best, ids = scores.max(2)
        count = (best > 0.25).sum(1, keepdim=True)
        rubbish = torch.where(best > 0.25, best, 1.0)
        return count.to(torch.int32), boxes + 0 * best[..., None], rubbish, ids.to(torch.int32)


class RtDetr(Cells):
    """RT-DETR with its post-processing, which brings boxes to the size that it is told."""

    def forward(self, image, orig_target_sizes):
        boxes, scores = self.lists(image)
        unit = boxes / torch.tensor([SIZE[1], SIZE[0]] * 2)
        best, ids = scores.max(2)
        return ids, unit * torch.cat([orig_target_sizes] * 2, 1)[:, None], best


@pytest.mark.parametrize(
    ("net", "names", "more", "fit"),
    [
        (TensorRt(), ["num_dets", "bboxes", "scores", "labels"], {}, "letterbox"),
        (
            RtDetr(),
            ["labels", "boxes", "scores"],
            {"orig_target_sizes": torch.tensor([[SIZE[1], SIZE[0]]])},
            "stretch",
        ),
    ],
    ids=["tensorrt", "rt-detr"],
)
def test_lists_by_name(tmp_path, net, names, more, fit):
    model = load_any(export(net, tmp_path / "a.onnx", names, more=more), LABELS)
    assert model.manifest.decode.name == "end2end"
    assert_found(model.predict(draw(fit)), fit)
    assert_found(model.predict(draw(fit, [RED])), fit, [RED])


class TorchVision(Cells):
    """Lists without a batch, whose classes begin with 1."""

    def forward(self, image):
        boxes, scores = self.lists(image if image.ndim == 4 else image[None])
        best, ids = scores[0].max(1)
        there = best > 0.25
        masks = best[there].reshape(-1, 1, 1, 1) * torch.ones(1, 1, 8, 8)
        return boxes[0, there], ids[there] + 1, best[there], masks


class Zoo(RtDetr):
    """SSD of ONNX's model zoo, whose classes begin with 1 too."""

    def forward(self, image):
        ids, boxes, best = super().forward(image, torch.ones(1, 2))
        return boxes, ids + 1, best


@pytest.mark.parametrize("batch", [True, False])
@pytest.mark.parametrize("names", [["boxes", "labels", "scores", "masks"], ["x71", "x72", "x73"]])
def test_torchvision_numbers_classes_from_one(tmp_path, batch, names):
    net = TorchVision()
    whole = net.forward
    net.forward = lambda image: whole(image)[: len(names)]
    path = export(net, tmp_path / "a.onnx", names, batch=batch)
    wishes = Wishes(labels=LABELS)
    if len(names) == 3:
        with pytest.raises(UsageError, match=r"--as end2end .*torchvision"):
            describe(path, wishes)
        wishes = Wishes(labels=("background", *LABELS), layout="end2end", normalize="0..1")
    model = load_any(path, wishes=wishes)
    for things in ([], [RED], [BLUE], [RED, BLUE]):
        assert_found(model.predict(draw("letterbox", things)), "letterbox", things)


def test_the_ssd_of_the_zoo_numbers_classes_from_one(tmp_path):
    path = export(Zoo(IMAGENET), tmp_path / "a.onnx", ["bboxes", "labels", "scores"])
    assert_found(load_any(path, LABELS).predict(draw("stretch")), "stretch")


class Unsuppressed(Cells):
    """More boxes than any file leaves that suppresses them: here each is there twice."""

    def forward(self, image):
        boxes, scores = self.lists(image)
        best, ids = (torch.cat([part] * 60, 1) for part in scores.max(2))
        return (
            torch.cat([boxes + 1, *[boxes] * 59], 1),
            best - 1e-4 * (torch.arange(60 * COUNT) < COUNT),
            ids,
        )


def test_lists_that_overlap_still_are_thinned_out(tmp_path):
    path = export(Unsuppressed(), tmp_path / "a.onnx", ["boxes", "scores", "class_idx"])
    assert_found(load_any(path, LABELS).predict(draw("letterbox")), "letterbox")


class Flat(Batch):
    """As YOLO-NAS: the score comes before the class."""

    def forward(self, image):
        return super().forward(image)[:, [0, 1, 2, 3, 4, 6, 5]]


def test_of_yolo_nas_the_score_comes_first(tmp_path):
    path = export(Flat(), tmp_path / "a.onnx", ["graph2_flat_predictions"])
    assert_found(load_any(path, LABELS).predict(draw("letterbox")), "letterbox")
    batch = ["num_predictions", "pred_boxes", "pred_scores", "pred_classes"]
    path = export(TensorRt(), tmp_path / "b.onnx", [f"graph2_{name}" for name in batch])
    assert_found(load_any(path, LABELS).predict(draw("letterbox")), "letterbox")


def test_a_count_of_paddle_is_told_by_its_scale_factor(tmp_path):
    path = export(Paddle(), tmp_path / "a.onnx", ["fetch_name_0", "fetch_name_1"], more=FACTOR)
    model = load_any(path, wishes=Wishes(labels=LABELS, normalize="0..1"))
    assert_found(model.predict(draw("stretch")), "stretch")
