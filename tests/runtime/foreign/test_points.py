"""Key points of one thing, from small exported nets that place them about a square's middle."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from colour_nets import (
    AS_IS,
    BLUE,
    RED,
    SCORE,
    SIZE,
    Net,
    cells,
    constant,
    convert,
    draw,
    export,
    to_frame,
)

from edgenn.runtime.foreign import load_any


class Middles(Net):
    """Where the colours are."""

    def __init__(self, *scale) -> None:
        super().__init__(*scale)
        self.middles = constant(cells((8,)).middles)[0]

    def where(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(2, 2) x, y of red and of blue in net pixels, and (2,) logits of being there."""
        alike = self.alike(image, 8)[0].clamp(min=-15)
        there = alike.sigmoid()
        middles = (there[:, :, None] * self.middles[:, None]).sum(0) / there.sum(0)[:, None]
        return middles, alike.amax(0)


class MoveNet(Middles):
    """17 points: even ones lie on the red square and odd ones on the blue, each further right."""

    def forward(self, image):
        middles, there = self.where(image)
        which = torch.arange(17) % 2
        x = middles[which, 0] / SIZE[1] + torch.arange(17) / SIZE[1] / 4
        y = middles[which, 1] / SIZE[0]
        return torch.stack([y, x, there.sigmoid()[which]], 1)[None, None]


def _middle(thing, right: float, down: float, fit: str) -> tuple[float, float]:
    x, y = thing.middle
    return to_frame(x + right, y + down, fit)


@pytest.mark.parametrize("write", [export, convert])
def test_movenet(tmp_path, write):
    suffix = "onnx" if write is export else "tflite"
    model = load_any(write(MoveNet(AS_IS), tmp_path / f"movenet.{suffix}"))
    assert model.manifest.decode.name == "movenet"
    (points,) = (found := model.predict(draw("letterbox"))).keypoints
    wanted = np.array([_middle((RED, BLUE)[k % 2], k / 4, 0, "letterbox") for k in range(17)])
    np.testing.assert_allclose(points[:, :2], wanted, atol=0.05)
    np.testing.assert_allclose(points[:, 2], SCORE, atol=3e-3)
    np.testing.assert_allclose(found.boxes, [[*wanted.min(0), *wanted.max(0)]], atol=0.05)
    assert len(model.predict(draw("letterbox", []))) == 0
    # Points that are not seen are no part of the box.
    (box,) = model.predict(draw("letterbox", [BLUE])).boxes
    np.testing.assert_allclose(box, [*wanted[1], *wanted[15]], atol=0.05)


class Several(Middles):
    """Six people of 17 points and a box: y, x, score; y1, x1, y2, x2, score."""

    def forward(self, image):
        middles, there = self.where(image)
        unit = middles / torch.tensor([SIZE[1], SIZE[0]])
        rows = []
        for i in range(2):
            y, x, score = unit[i, 1], unit[i, 0], there[i].sigmoid()
            box = [y - 0.125, x - 0.0625, y + 0.0625, x + 0.125, score]
            rows.append(torch.stack([y, x, score] * 17 + box))
        return torch.nn.functional.pad(torch.stack(rows), (0, 0, 0, 4))[None]


def test_movenet_of_several_people(tmp_path):
    model = load_any(export(Several(AS_IS), tmp_path / "movenet.onnx", ["output_0"]))
    found = model.predict(draw("letterbox"))
    assert len(found) == 2
    order = np.argsort(found.boxes[:, 0])
    for i, thing in zip(order, (RED, BLUE), strict=True):
        corners = [
            *_middle(thing, -8, -8, "letterbox"),
            *_middle(thing, 16, 4, "letterbox"),
        ]
        np.testing.assert_allclose(found.boxes[i], corners, atol=0.05)
        middle = _middle(thing, 0, 0, "letterbox")
        np.testing.assert_allclose(found.keypoints[i, :, :2], [middle] * 17, atol=0.05)


class Hand(Middles):
    """21 points of three numbers, presence, side and points in metres; red is left."""

    def forward(self, image):
        middles, there = self.where(image)
        k = torch.arange(21.0)
        x, y = middles[there.argmax()]
        points = torch.stack([x + k / 2, y - k / 4, 100 + k], 1).reshape(1, 63)
        presence = there.amax().sigmoid().reshape(1, 1)
        side = there.argmax().float().reshape(1, 1) * 0.9
        return points, presence, side, points / 1000


@pytest.mark.parametrize(("thing", "side"), [(RED, "left"), (BLUE, "right")])
def test_hands(tmp_path, thing, side):
    names = ["Identity", "Identity_1", "Identity_2", "Identity_3"]
    model = load_any(export(Hand(), tmp_path / "hand.onnx", names), ("left", "right"))
    assert model.manifest.decode.name == "landmarks"
    found = model.predict(draw("letterbox", [thing]))
    assert [found.name(i) for i in range(len(found))] == [side]
    wanted = np.array([_middle(thing, k / 2, -k / 4, "letterbox") for k in range(21)])
    np.testing.assert_allclose(found.keypoints[0, :, :2], wanted, atol=0.05)
    np.testing.assert_allclose(found.boxes[0], [*wanted.min(0), *wanted.max(0)], atol=0.05)
    np.testing.assert_allclose(found.scores, [SCORE], atol=3e-3)
    assert len(model.predict(draw("letterbox", []))) == 0


class Face(Middles):
    """468 points on four axes, and the logit of there being a face."""

    def forward(self, image):
        middles, there = self.where(image)
        k = torch.arange(468.0)
        x, y = middles[0]
        points = torch.stack([x + k / 100, y - k / 200, k], 1)
        return points.reshape(1, 1, 1, 1404), there[0].reshape(1, 1, 1, 1)


class Pose(Middles):
    """33 points of five numbers, of which the fourth says how visible each is, and six more."""

    def forward(self, image):
        middles, there = self.where(image)
        k = torch.arange(39.0)
        x, y = middles[0]
        points = torch.stack([x + k / 10, y - k / 20, k, k - 16, 0 * k], 1)
        return points.reshape(1, 195), there[0].sigmoid().reshape(1, 1)


def test_faces(tmp_path):
    model = load_any(export(Face(), tmp_path / "face.onnx", ["conv2d_21", "conv2d_31"]))
    found = model.predict(draw("letterbox", [RED]))
    wanted = [_middle(RED, k / 100, -k / 200, "letterbox") for k in range(468)]
    np.testing.assert_allclose(found.keypoints[0, :, :2], wanted, atol=0.05)
    np.testing.assert_allclose(found.scores, [SCORE], atol=3e-3)
    assert len(model.predict(draw("letterbox", [BLUE]))) == 0


def test_poses(tmp_path):
    model = load_any(export(Pose(), tmp_path / "pose.onnx", ["Identity", "Identity_1"]))
    found = model.predict(draw("letterbox", [RED]))
    wanted = [_middle(RED, k / 10, -k / 20, "letterbox") for k in range(33)]
    np.testing.assert_allclose(found.keypoints[0, :, :2], wanted, atol=0.05)
    visible = 1 / (1 + np.exp(16.0 - np.arange(33)))
    np.testing.assert_allclose(found.keypoints[0, :, 2], visible, atol=1e-3)
