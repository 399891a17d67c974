from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edgenn
from edgenn.data.images import read
from edgenn.data.load import read_raw
from edgenn.errors import ModelError, UsageError
from edgenn.recipe.schema import Data
from edgenn.runtime.foreign import Wishes, describe, load_any, read_labels
from edgenn.runtime.foreign.wrap import write
from edgenn.runtime.golden import verify
from edgenn.train.evaluate import evaluate


class Photos:
    def __init__(self, pictures):
        self.pictures = pictures

    def __len__(self):
        return len(self.pictures)

    def truth(self, i):
        return self.pictures[i].boxes, self.pictures[i].class_ids


def test_yolox_finds_people_as_well_as_it_is_known_to(real_data):
    model = load_any(real_data / "models" / "yolox_nano.onnx", conf=0.01)
    root = real_data / "detection" / "coco128-train"
    spec = Data(format="yolo", path=str(root), labels=["person"])
    photos = Photos(read_raw(spec, root).pictures)

    def people(i):
        found = model.predict(read(photos.pictures[i].path))
        person = found.class_ids == 0
        return type(found)(
            found.boxes[person], found.scores[person], found.class_ids[person], found.labels
        )

    metrics = evaluate("detect", people, photos, ("person",))
    assert metrics.samples > 100
    assert 0.55 < metrics.extra["mAP50"] < 0.75


def test_a_model_of_edgenn_needs_no_guessing(tiny):
    picture = np.full((96, 128, 3), 20, np.uint8)
    picture[16:32, 16:32] = (0, 0, 255)
    path = tiny / "tiny-detect.edgenn"
    ours, same = load_any(path).predict(picture), edgenn.load(path).predict(picture)
    assert len(ours) == 1
    assert (ours.boxes == same.boxes).all()


def save(path, nodes, inputs, outputs, weights=(), **properties):
    """A small ONNX file; inputs and outputs as {name: (type, shape)}."""
    sides = [
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in side.items()]
        for side in (inputs, outputs)
    ]
    graph = helper.make_graph(nodes, "g", *sides, initializer=list(weights))
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    helper.set_model_props(model, properties)
    onnx.save(model, path)
    return path


def picture(shape=(1, 3, 32, 32), kind=TensorProto.FLOAT):
    return {"image": (kind, shape)}


def pooled(classes=3):
    """Nodes and weights of a classifier whose logits are the mean of each channel, times 4."""
    weight = numpy_helper.from_array(np.eye(3, classes, dtype=np.float32) * 4, "w")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["y"]),
    ]
    return nodes, [weight]


RED = np.full((40, 60, 3), (0, 0, 255), np.uint8)


@pytest.mark.parametrize(
    ("shape", "said"),
    [([1, 8], "one input of"), ([1, 3, 50, 64], "no known layout"), ([1, 1, 64, 64], "in grey")],
)
def test_an_unknown_layout_is_refused_in_words(tmp_path, shape, said):
    node = helper.make_node("Identity", ["image"], ["y"])
    path = save(tmp_path / "odd.onnx", [node], picture(shape), {"y": (TensorProto.FLOAT, shape)})
    with pytest.raises(ModelError, match=said):
        load_any(path)


def test_a_classifier_asks_for_what_it_does_not_say_and_takes_it(tmp_path):
    nodes, weights = pooled()
    path = save(tmp_path / "c.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 3])}, weights)
    with pytest.raises(UsageError, match=r"may be of the layout classes .* --labels"):
        describe(path)
    labels = ("red", "green", "blue")
    with pytest.raises(UsageError, match=r"nothing says how .* scaled: say --normalize 0..255"):
        describe(path, Wishes(labels=labels))
    found = describe(path, Wishes(labels=labels, normalize="0..1"))
    said = found.model().predict(RED)
    assert said.label == "red"
    # softmax of 4, 0, 0
    assert said.score == pytest.approx(np.exp(4) / (np.exp(4) + 2), abs=1e-4)
    other = describe(path, Wishes(labels=labels, normalize="0..1", color="bgr"))
    assert other.model().predict(RED).label == "blue"
    with pytest.raises(UsageError, match="tells 3 classes apart, but --labels names 2"):
        describe(path, Wishes(layout="classes", labels=("a", "b"), normalize="0..1"))


def test_several_labels_at_once(tmp_path):
    nodes, weights = pooled()
    nodes.append(helper.make_node("Sigmoid", ["y"], ["s"]))
    path = save(tmp_path / "m.onnx", nodes, picture(), {"s": (TensorProto.FLOAT, [1, 3])}, weights)
    labels = ("red", "green", "blue")
    yellow = np.full((40, 60, 3), (0, 255, 255), np.uint8)
    said = describe(path, Wishes(labels=labels, normalize="0..1")).model().predict(yellow)
    assert said.scores == pytest.approx([0.982, 0.982, 0.5], abs=1e-3)


def test_labels_and_size_of_ultralytics_metadata(tmp_path):
    nodes, weights = pooled()
    path = save(
        tmp_path / "u.onnx",
        nodes,
        picture((1, 3, "height", "width")),
        {"y": (TensorProto.FLOAT, [1, 3])},
        weights,
        names="{0: 'it''s red', 1: 'green', 2: 'blue'}".replace("''", ""),
        imgsz="[48, 64]",
        task="classify",
    )
    found = describe(path, Wishes(normalize="0..1"))
    assert found.manifest.labels == ("its red", "green", "blue")
    assert found.manifest.input.size == (48, 64)
    assert any("as its metadata says" in line for line in found.said)
    assert describe(path, Wishes(normalize="0..1", size=(32, 32))).manifest.input.size == (32, 32)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.UINT8, TensorProto.DOUBLE])
def test_other_types_of_input_are_cast(tmp_path, kind):
    nodes, weights = pooled()
    nodes[0].input[0] = "c"
    nodes.insert(0, helper.make_node("Cast", ["image"], ["c"], to=TensorProto.FLOAT))
    nodes.append(helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT16))
    outputs = {"z": (TensorProto.FLOAT16, [1, 3])}
    path = save(tmp_path / "t.onnx", nodes, picture(kind=kind), outputs, weights)
    normalize = "" if kind == TensorProto.UINT8 else "0..1"
    found = describe(path, Wishes(labels=("red", "green", "blue"), normalize=normalize))
    said = found.model().predict(RED)
    assert said.label == "red"
    assert said.scores.dtype == np.float32


def test_state_goes_on_from_step_to_step(tmp_path):
    nodes, weights = pooled()
    nodes.append(helper.make_node("Add", ["y", "h_in"], ["h_out"]))
    nodes.append(helper.make_node("Identity", ["h_out"], ["scores"]))
    kind = TensorProto.FLOAT
    path = save(
        tmp_path / "s.onnx",
        nodes,
        {**picture(), "h_in": (kind, [1, 3])},
        {"scores": (kind, [1, 3]), "h_out": (kind, [1, 3])},
        weights,
    )
    found = describe(path, Wishes(labels=("red", "green", "blue"), normalize="0..1"))
    assert any(line.startswith("state: h_in goes on from h_out") for line in found.said)
    model = found.model()
    scores = [model.predict(RED).score for _ in range(3)]
    assert scores[0] < scores[1] < scores[2]
    model.reset()
    assert model.predict(RED).score == scores[0]


def test_an_input_that_nothing_explains_is_refused(tmp_path):
    nodes, weights = pooled()
    nodes.append(helper.make_node("Add", ["y", "magic"], ["z"]))
    kind = TensorProto.FLOAT
    path = save(
        tmp_path / "x.onnx",
        nodes,
        {**picture(), "magic": (kind, [1, 3])},
        {"z": (kind, [1, 3])},
        weights,
    )
    with pytest.raises(ModelError, match=r"nothing says what its input magic \(1, 3\) is for"):
        describe(path, Wishes(labels=("a", "b", "c"), normalize="0..1"))


def test_weights_listed_as_inputs_are_no_inputs(tmp_path):
    nodes, weights = pooled()
    inputs = {**picture(), "w": (TensorProto.FLOAT, [3, 3])}
    path = save(tmp_path / "o.onnx", nodes, inputs, {"y": (TensorProto.FLOAT, [1, 3])}, weights)
    found = describe(path, Wishes(labels=("red", "green", "blue"), normalize="0..1"))
    assert found.model().predict(RED).label == "red"


def test_weights_in_a_file_beside_it_come_along(tmp_path):
    nodes, weights = pooled()
    folder = tmp_path / "apart"
    folder.mkdir()
    path = save(folder / "e.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 3])}, weights)
    model = onnx.load(path)
    onnx.save_model(
        model, path, save_as_external_data=True, location="e.onnx.data", size_threshold=0
    )
    assert (folder / "e.onnx.data").exists()
    wishes = Wishes(labels=("red", "green", "blue"), normalize="0..1")
    out = tmp_path / "e.edgenn"
    write(describe(path, wishes), out)
    (folder / "e.onnx.data").unlink()
    assert edgenn.load(out).predict(RED).label == "red"
    with pytest.raises(ModelError):
        describe(path, wishes)


def test_custom_operators_are_named(tmp_path):
    node = helper.make_node("Frobnicate", ["image"], ["y"], domain="org.example")
    sides = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3, 32, 32])]
        for n in ("image", "y")
    ]
    graph = helper.make_graph([node], "g", *sides)
    opset = [helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)]
    path = tmp_path / "odd.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    with pytest.raises(ModelError, match="Frobnicate"):
        load_any(path)


def test_a_model_that_fails_says_in_which_node(tmp_path):
    shape = numpy_helper.from_array(np.array([7, 7], np.int64), "s")
    node = helper.make_node("Reshape", ["image", "s"], ["y"], name="the_bad_one")
    outputs = {"y": (TensorProto.FLOAT, None)}
    path = save(tmp_path / "bad.onnx", [node], picture((1, 3, "h", "w")), outputs, [shape])
    with pytest.raises(ModelError, match=r"could not run the model: .*the_bad_one"):
        load_any(path)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("m.onnx", b"", "is empty"),
        ("m.onnx", b"\x00" * 100, r"m\.onnx: the model is damaged"),
        ("m.tflite", b"\x00" * 100, "is no TFLite model"),
        ("m.tflite", b"<html>", "is a web page"),
    ],
)
def test_what_is_no_model_is_refused(tmp_path, name, data, said):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ModelError, match=said):
        load_any(path)


def test_the_quantised_classifier_knows_a_macaw(real_data, tmp_path):
    folder = real_data / "models"
    out = tmp_path / "m.edgenn"
    found = describe(folder / "mobilenet_v2_1.0_224_quant.tflite")
    assert found.manifest.variants[0].precision == "int8"
    write(found, out)
    model = edgenn.load(out)
    said = model.predict(read(folder / "parrot.jpg"))
    assert said.label == "macaw"
    assert said.score > 0.9
    assert [check.status for check in verify(out)] == ["pass"]


def test_detectors_of_tensorflow_name_their_classes_with_gaps():
    labels = read_labels("coco-90")
    assert len(labels) == 90
    assert (labels[0], labels[12], labels[89]) == ("person", "stop sign", "toothbrush")
    assert sum(name.startswith("unused") for name in labels) == 10
    assert len(read_labels("imagenet")) == 1000
    assert read_labels("imagenet")[88] == "macaw"
