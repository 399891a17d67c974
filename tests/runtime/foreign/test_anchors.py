"""Detectors on anchors, and SSDs whose file suppresses overlaps, from small exported nets."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from colour_nets import (
    AS_IS,
    BLUE,
    IMAGENET,
    LABELS,
    RED,
    SIGNED,
    SIZE,
    THINGS,
    UNIT,
    Net,
    assert_found,
    cells,
    constant,
    convert,
    draw,
    export,
    to_frame,
)

import edgenn
from edgenn.errors import UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify


def _sides(scale: float, ratio: float) -> tuple[float, float]:
    return scale * math.sqrt(ratio), scale / math.sqrt(ratio)


def _mobilenet() -> dict[int, list[tuple[float, float]]]:
    """Anchors of TensorFlow's SSD by the stride of their grid: shares of the shorter side."""
    scales, shorter = [0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0], min(SIZE)
    found = {16: [_sides(0.1, 1), _sides(0.2, 2), _sides(0.2, 0.5)]}
    for i in range(1, 6):
        own = [_sides(scales[i], ratio) for ratio in (1, 2, 0.5, 3, 0.3333)]
        found[16 << i] = [*own, (math.sqrt(scales[i] * scales[i + 1]),) * 2]
    return {s: [(w * shorter, h * shorter) for w, h in each] for s, each in found.items()}


def _octaves(count: int, outer: str) -> dict[int, list[tuple[float, float]]]:
    """Anchors of RetinaNet by the stride of their grid."""
    found = {}
    for stride in (8, 16, 32, 64, 128):
        scales, ratios = [4 * stride * 2 ** (k / count) for k in range(count)], (1, 2, 0.5)
        if outer == "scales":
            found[stride] = [_sides(s, r) for s, r in itertools.product(scales, ratios)]
        else:
            found[stride] = [_sides(s, r) for r, s in itertools.product(ratios, scales)]
    return found


def _ssd300() -> dict[int, list[tuple[float, float]]]:
    """Anchors of the first SSD: small square, large square, then each ratio and its inverse."""
    sizes, found = (30, 60, 111, 162, 213, 264, 315), {}
    for i, stride in enumerate((8, 16, 32, 64, 100, 300)):
        found[stride] = [(sizes[i],) * 2, (math.sqrt(sizes[i] * sizes[i + 1]),) * 2]
        for ratio in (2, 3) if stride in (16, 32, 64) else (2,):
            found[stride] += [_sides(sizes[i], ratio), _sides(sizes[i], 1 / ratio)]
    return found


class Anchored(Net):
    """Offsets from anchors; of a cell sees the third anchor at stride 16, else the last.

    Args:
        anchors: Width and height of each in net pixels, by the stride of the grid.
        variances: Of middles and of sides.
        first: The axis that comes first, "x" or "y".
        background: Whether there is a column of it before the classes.
        size: Of the picture.
        scale: See `Net`.
    """

    def __init__(self, anchors, variances, first, background, size=SIZE, scale=SIGNED, order="rgb"):
        super().__init__(scale, order)
        self.anchors, self.background = anchors, background
        offsets = []
        for stride, shapes in anchors.items():
            grid = cells((stride,), size)
            for middle, box in zip(grid.middles, grid.boxes, strict=True):
                for shape in np.array(shapes):
                    move = (box[:2] - middle) / shape / variances[0]
                    grow = np.log(box[2:] / shape) / variances[1]
                    step = 1 if first == "x" else -1
                    offsets.append([*move[::step], *grow[::step]])
        self.offsets = constant(np.array(offsets))

    def forward(self, image):
        parts = []
        for stride, shapes in self.anchors.items():
            seen = self.seen(image, (stride,))
            blind = torch.full_like(seen, -15)
            sees = 2 if stride == 16 else len(shapes) - 1
            each = [seen if k == sees else blind for k in range(len(shapes))]
            parts.append(torch.stack(each, 2).flatten(1, 2))
        scores = torch.cat(parts, 1)
        if self.background:
            scores = torch.cat([torch.zeros_like(scores[..., :1]), scores], 2)
        return self.offsets + 0 * scores.sum(), scores


VARIANCES = (0.1, 0.2)


@pytest.mark.parametrize(
    ("net", "fit", "layout"),
    [
        (Anchored(_mobilenet(), VARIANCES, "y", True), "stretch", ""),
        (Anchored(_octaves(2, "ratios"), VARIANCES, "y", True), "stretch", ""),
        # EfficientDets are square, so of this size the layout may have to be said.
        (Anchored(_octaves(3, "scales"), (1, 1), "y", False, scale=IMAGENET), "start", "ssd"),
    ],
    ids=["mobilenet", "feature pyramid", "efficientdet"],
)
def test_offsets_from_anchors(tmp_path, net, fit, layout):
    path = export(net, tmp_path / "ssd.onnx", ["raw_boxes", "raw_scores"])
    model = load_any(path, LABELS, wishes=Wishes(layout=layout))
    assert model.manifest.decode.name == "ssd"
    assert_found(model.predict(draw(fit)), fit)


def test_of_the_first_ssd_scaling_and_order_must_be_said(tmp_path):
    size, scale = (300, 300), ((104.0, 117.0, 123.0), (1.0, 1.0, 1.0))
    net = Anchored(_ssd300(), VARIANCES, "x", True, size, scale, "bgr")
    path = export(net, tmp_path / "ssd.onnx", ["loc", "conf"], size=size)
    with pytest.raises(UsageError, match="--normalize"):
        describe(path, Wishes(labels=LABELS))
    wishes = Wishes(normalize="104,117,123:1,1,1", color="bgr")
    found = load_any(path, LABELS, wishes=wishes).predict(draw("same", frame=size))
    assert_found(found, "same")


class SoftAnchored(Anchored):
    """The same with decoded boxes on 0..1 and probabilities, as ports for MobileNet export it."""

    def forward(self, image):
        _, scores = super().forward(image)
        return scores.softmax(2), self.corners + 0 * scores.sum()


def test_an_ssd_of_mobilenet_whose_boxes_are_decoded(tmp_path):
    size, counts = (300, 300), {16: 6, 32: 6, 64: 6, 100: 6, 150: 6, 300: 6}
    net = SoftAnchored(
        {s: [(s, s)] * n for s, n in counts.items()},
        VARIANCES, "x", True, size, ((127.0,) * 3, (128.0,) * 3),
    )  # fmt: skip
    corners = np.repeat(cells(tuple(counts), size).corners / 300, 6, axis=0)
    net.corners = constant(corners)
    path = export(net, tmp_path / "ssd.onnx", ["scores", "boxes"], size=size)
    assert len(corners) == 3000
    assert_found(load_any(path, LABELS).predict(draw("same", frame=size)), "same")


class Blaze(Net):
    """MediaPipe's detectors: boxes and key points about the middle of a cell, one class."""

    def __init__(self, points: int, scale) -> None:
        super().__init__(scale, classes=1)
        self.points = points
        grids = [(cells((stride,)), count) for stride, count in ((8, 2), (16, 6))]
        rows = []
        for grid, count in grids:
            for middle, box in zip(grid.middles, grid.boxes, strict=True):
                places = [(2 * k, -k) for k in range(points)]
                row = [*(box[:2] - middle), *box[2:], *np.ravel(places)]
                rows += [row] * count
        self.rows = constant(np.array(rows))

    def forward(self, image):
        parts = []
        for stride, count in ((8, 2), (16, 6)):
            seen = self.seen(image, (stride,))
            each = [seen if k == 1 else torch.full_like(seen, -15) for k in range(count)]
            parts.append(torch.stack(each, 2).flatten(1, 2))
        scores = torch.cat(parts, 1)
        return self.rows + 0 * scores.sum(), scores


@pytest.mark.parametrize(
    ("points", "scale", "suffix"),
    [(6, SIGNED, "onnx"), (7, UNIT, "onnx"), (7, UNIT, "tflite")],
    ids=["face", "palm", "palm in TFLite"],
)
def test_boxes_with_key_points(tmp_path, points, scale, suffix):
    path = tmp_path / f"blaze.{suffix}"
    net = Blaze(points, scale)
    convert(net, path) if suffix == "tflite" else export(net, path, ["raw", "logits"])
    model = load_any(path, ("red",))
    assert model.manifest.decode.name == "blaze"
    found = model.predict(draw("letterbox"))
    assert_found(found, "letterbox", [RED])
    x, y = RED.middle
    wanted = [to_frame(x + 2 * k, y - k, "letterbox") for k in range(points)]
    np.testing.assert_allclose(found.keypoints[0, :, :2], wanted, atol=0.01)


class UltraFace(Net):
    """Probabilities of background and face, and corners on 0..1."""

    GRIDS = ((8, 3), (16, 2), (32, 2), (64, 3))

    def __init__(self) -> None:
        super().__init__(((127.0,) * 3, (128.0,) * 3), classes=1)
        corners = [np.repeat(cells((s,)).corners, n, axis=0) for s, n in self.GRIDS]
        self.corners = constant(np.concatenate(corners) / ([SIZE[1], SIZE[0]] * 2))

    def forward(self, image):
        parts = []
        for stride, count in self.GRIDS:
            parts.append(self.seen(image, (stride,)).repeat_interleave(count, 1))
        face = torch.cat(parts, 1)
        scores = torch.cat([torch.zeros_like(face), face], 2).softmax(2)
        return scores, self.corners + 0 * scores.sum()


def test_ultraface(tmp_path):
    path = export(UltraFace(), tmp_path / "face.onnx", ["scores", "boxes"])
    model = load_any(path, ("red",))
    assert model.manifest.decode.name == "ultraface"
    assert_found(model.predict(draw("stretch")), "stretch", [RED])


class PostProcessed(Net):
    """The ten best cells as TFLite_Detection_PostProcess gives them, in any order of tensors."""

    def __init__(self, order: str, scale=SIGNED, first: int = 0) -> None:
        super().__init__(scale)
        self.order, self.first = order, first
        corners = cells((16, 32)).corners[:, [1, 0, 3, 2]] / ([SIZE[0], SIZE[1]] * 2)
        self.corners = constant(corners)

    def forward(self, image):
        best, ids = self.seen(image, (16, 32)).sigmoid().max(2)
        scores, cell = best.topk(10, 1)
        found = {
            "boxes": self.corners[:, cell[0]],
            "classes": ids[:, cell[0]].float() + self.first,
            "scores": scores,
            "count": (scores > 0.25).sum(1).float(),
        }
        return tuple(found[name] for name in self.order.split())


TF1 = "TFLite_Detection_PostProcess"


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("boxes classes scores count", [TF1, f"{TF1}:1", f"{TF1}:2", f"{TF1}:3"]),
        ("scores boxes count classes", [f"StatefulPartitionedCall:{i}" for i in range(4)]),
        ("classes count boxes scores", [f"Identity_{i}" for i in range(4)]),
        ("classes scores boxes count", ["classes", "scores", "boxes", "number"]),
        ("count scores classes boxes", ["number", "scores", "classes", "boxes"]),
    ],
    ids=["tensorflow 1", "numbers", "other numbers", "words", "words the other way"],
)
def test_finished_detections_in_any_order(tmp_path, order, names):
    model = load_any(export(PostProcessed(order), tmp_path / "ssd.onnx", names), LABELS)
    assert model.manifest.decode.name == "ssd_post"
    for things in (THINGS, [], [RED], [BLUE]):
        assert_found(model.predict(draw("stretch", things)), "stretch", things)


def test_detections_of_tensorflow_have_classes_from_one(tmp_path):
    names = ["classes", "scores", "boxes", "multiclass_scores"]
    names = [f"detection_{name}:0" for name in names]
    net = PostProcessed("classes scores boxes scores count", first=1)
    path = export(net, tmp_path / "ssd.onnx", [*names, "num_detections:0"])
    model = load_any(path, LABELS)
    assert model.manifest.decode.name == "ssd_post"
    for things in (THINGS, [], [RED], [BLUE]):
        assert_found(model.predict(draw("stretch", things)), "stretch", things)


def test_finished_detections_in_tflite(tmp_path):
    path = convert(PostProcessed("boxes classes scores count"), tmp_path / "ssd.tflite")
    bundle = tmp_path / "ssd.edgenn"
    found = import_model(path, bundle, Wishes(labels=LABELS), [draw("stretch")])
    assert found.manifest.decode.name == "ssd_post"
    assert [check.status for check in verify(bundle)] == ["pass"]
    assert_found(edgenn.load(bundle).predict(draw("stretch")), "stretch")


def test_pixels_of_finished_detections_may_be_as_they_are(tmp_path):
    path = export(
        PostProcessed("boxes classes scores count", AS_IS), tmp_path / "ssd.onnx", list("abcd")
    )
    model = load_any(path, LABELS, wishes=Wishes(normalize="0..255"))
    assert_found(model.predict(draw("stretch")), "stretch")
