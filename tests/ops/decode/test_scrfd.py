from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgenn.errors import ModelError
from edgenn.ops.decode import Foreign
from edgenn.ops.decode.scrfd import build, recognise
from edgenn.runtime.foreign import Wishes, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

SIZE = (64, 96)
COUNTS = {8: 192, 16: 48, 32: 12}
WIDTHS = {"scores": 1, "boxes": 4, "points": 10}


def _outputs(seed):
    rng = np.random.default_rng(seed)
    ranges = {"scores": (0, 0.6), "boxes": (0.2, 3), "points": (-2, 2)}
    return {
        f"{kind}_{stride}": rng.uniform(*ranges[kind], (count, width)).astype(np.float32)
        for kind, width in WIDTHS.items()
        for stride, count in COUNTS.items()
    }


def _plain(outputs, conf):
    """Score, box and points of all that scores enough, with loops."""
    found = []
    for stride in COUNTS:
        scores = outputs[f"scores_{stride}"].tolist()
        boxes = outputs[f"boxes_{stride}"].tolist()
        points = outputs[f"points_{stride}"].tolist()
        at = 0
        for row in range(SIZE[0] // stride):
            for column in range(SIZE[1] // stride):
                for _ in range(2):
                    x, y = column * stride, row * stride
                    left, top, right, bottom = (v * stride for v in boxes[at])
                    places = [v * stride + (x, y)[i % 2] for i, v in enumerate(points[at])]
                    if scores[at][0] >= conf:
                        box = [x - left, y - top, x + right, y + bottom]
                        found.append((scores[at][0], box, places))
                    at += 1
    return sorted(found, key=lambda face: -face[0])


@pytest.mark.parametrize("seed", range(3))
def test_decoding_equals_a_plain_loop(seed):
    outputs = _outputs(seed)
    expected = _plain(outputs, 0.5)
    assert 20 < len(expected) < 100
    found = build({"iou": 1.0}, ("face",), SIZE)(outputs, None)
    np.testing.assert_allclose(found.scores, [face[0] for face in expected], rtol=1e-6)
    np.testing.assert_allclose(found.boxes, [face[1] for face in expected], atol=1e-3)
    told = np.array([face[2] for face in expected]).reshape(-1, 5, 2)
    np.testing.assert_allclose(found.keypoints[..., :2], told, atol=1e-3)
    assert len(build({}, ("face",), SIZE)(outputs, None)) < len(expected)


@pytest.mark.parametrize("batch", [(), (1,)])
@pytest.mark.parametrize("has_points", [True, False])
def test_it_is_told_by_shapes_with_and_without_points_and_batch(batch, has_points):
    shapes = {f"{i + 440}": (*batch, *v.shape) for i, v in enumerate(_outputs(0).values())}
    if not has_points:
        shapes = dict(list(shapes.items())[:6])
    match = recognise(Foreign({}, shapes, SIZE))
    assert (match.sure, match.labels, match.params) == (True, ("face",), {"points": has_points})
    assert (match.fit, match.color, match.mean[0], match.std[0]) == (
        "letterbox-start", "rgb", 127.5, 128.0,
    )  # fmt: skip
    decode = build(match.params, match.labels, SIZE)
    found = decode({n: np.ones(shapes[at], np.float32) for n, at in match.outputs.items()}, None)
    assert (found.keypoints is None) != has_points
    assert recognise(Foreign({}, shapes, (96, 96))) is None


def test_a_file_without_a_batch_goes_the_whole_way(tmp_path):
    outputs = _outputs(1)
    nodes, weights, sides = [], [], []
    for number, (name, values) in enumerate(outputs.items()):
        weights.append(numpy_helper.from_array(values, name))
        # The mean of the picture times nothing, so that the outputs depend on it.
        nodes.append(helper.make_node("Add", [name, "nothing"], [f"{number}"]))
        sides.append(helper.make_tensor_value_info(f"{number}", TensorProto.FLOAT, values.shape))
    zero = numpy_helper.from_array(np.zeros((1, 1), np.float32), "zero")
    nodes[:0] = [
        helper.make_node("ReduceMean", ["input.1"], ["m"], axes=[0, 1, 2, 3], keepdims=0),
        helper.make_node("Mul", ["m", "zero"], ["nothing"]),
    ]
    picture = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, "h", "w"])
    graph = helper.make_graph(nodes, "g", [picture], sides, [*weights, zero])
    opset = [helper.make_opsetid("", 13)]
    path = tmp_path / "faces.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    frame = np.zeros((128, 192, 3), np.uint8)
    wishes = Wishes(size=SIZE, iou=1.0)
    found = load_any(path, wishes=wishes).predict(frame)
    expected = _plain(outputs, 0.5)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found.keypoints[0, 0, :2], np.array(expected[0][2][:2]) * 2, 1e-4)
    import_model(path, tmp_path / "faces.edgenn", wishes, [frame])
    assert verify(tmp_path / "faces.edgenn")[0].status == "pass"


def test_other_shapes_are_refused():
    outputs = _outputs(0)
    del outputs["points_16"]
    with pytest.raises(ModelError, match="needs an output 'points_16'"):
        build({}, ("face",), SIZE)(outputs, None)
    outputs["boxes_16"] = outputs["boxes_16"][1:]
    with pytest.raises(ModelError, match=r"boxes_16 \(47, 4\).*needs \(1, 48, 4\)"):
        build({"points": False}, ("face",), SIZE)(outputs, None)
