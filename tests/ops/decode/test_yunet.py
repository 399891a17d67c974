from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.yunet import build, recognise
from edgenn.runtime.foreign import load_any

SIZE = (64, 96)
NAMES, WIDTHS = ("cls", "obj", "bbox", "kps"), (1, 1, 4, 10)


class Net(torch.nn.Module):
    """Heads of the widths of a YuNet, over the mean colour of each cell."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.heads = torch.nn.ModuleList(
            torch.nn.Conv2d(3, width, 1) for width in WIDTHS for _ in range(3)
        )

    def forward(self, picture):
        cells = [torch.nn.functional.avg_pool2d(picture / 127 - 1, s) for s in (8, 16, 32)]
        outputs = []
        for i, head in enumerate(self.heads):
            values = head(cells[i % 3]).permute(0, 2, 3, 1).flatten(1, 2)
            outputs.append(torch.sigmoid(values) if i < 6 else values)
        return outputs


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_faces_are_those_that_opencv_finds(tmp_path):
    path = tmp_path / "yunet.onnx"
    picture = np.random.default_rng(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    picture = np.repeat(np.repeat(picture, 8, 0), 8, 1)
    torch.onnx.export(
        Net().eval(), (torch.zeros(1, 3, *SIZE),), str(path), dynamo=False, opset_version=13,
        input_names=["input"], output_names=[f"{n}_{s}" for n in NAMES for s in (8, 16, 32)],
    )  # fmt: skip
    theirs = cv2.FaceDetectorYN.create(str(path), "", SIZE[::-1], 0.5, 1.0)
    _, faces = theirs.detect(picture)
    # They suppress boxes that are rounded to whole pixels, so here nobody does.
    found = load_any(path, conf=0.5, iou=1.0).predict(picture)
    assert len(found) > 10
    assert found.name(0) == "face"
    # Theirs are left, top, width, height, five points and the score; boxes leave the picture.
    order = np.argsort(-faces[:, 14], kind="stable")
    told = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:4]], 1)[order]
    np.testing.assert_allclose(found.scores, faces[order, 14], atol=1e-5)
    np.testing.assert_allclose(
        found.keypoints[..., :2].reshape(-1, 10), faces[order, 4:14], atol=0.01
    )
    np.testing.assert_allclose(found.boxes, told.clip(0, (96, 64) * 2), atol=0.01)


def _shapes(size):
    counts = {s: -(-size[0] // s) * -(-size[1] // s) for s in (8, 16, 32)}
    return {
        f"{n}_{s}": (1, counts[s], w) for n, w in zip(NAMES, WIDTHS, strict=True) for s in counts
    }


def test_it_is_told_by_shapes_whatever_the_names():
    shapes = _shapes(SIZE)
    nameless = {f"output_{i}": shape for i, shape in enumerate(reversed(shapes.values()))}
    match = recognise(Foreign({}, nameless, SIZE))
    assert match.sure
    assert (match.color, match.fit, match.mean, match.std) == (
        "bgr", "letterbox-start", (0.0,) * 3, (1.0,) * 3,
    )  # fmt: skip
    assert nameless[match.outputs["points_32"]] == (1, 6, 10)
    assert recognise(Foreign({}, nameless, (96, 96))) is None
    del nameless["output_0"]
    assert recognise(Foreign({}, nameless, SIZE)) is None


def test_other_shapes_are_refused():
    shapes = _shapes(SIZE)
    match = recognise(Foreign({}, shapes, SIZE))
    outputs = {ours: np.zeros(shapes[at], np.float32) for ours, at in match.outputs.items()}
    decode = build(match.params, match.labels, SIZE)
    assert len(decode(outputs, None)) == 0
    with pytest.raises(ModelError, match=r"boxes_16 \(1, 24, 5\).*needs \(1, 24, 4\)"):
        decode({**outputs, "boxes_16": np.zeros((1, 24, 5), np.float32)}, None)
