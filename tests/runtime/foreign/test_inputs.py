"""What foreign files may take and give, on small ones made here."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from edgenn.cli import cli
from edgenn.errors import ModelError, UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any


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


def test_fit_is_what_the_user_says(tmp_path):
    nodes, weights = pooled()
    path = save(tmp_path / "c.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 3])}, weights)
    # Red in the middle third, green beside it: cut out, only red is left.
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[..., 1] = 255
    wide[:, 30:60] = (0, 0, 255)
    found = {}
    for fit in (None, "stretch", "letterbox"):
        wishes = Wishes(layout="classes", normalize="0..1", fit=fit, labels=("r", "g", "b"))
        found[fit] = load_any(path, wishes=wishes).predict(wide).label
    assert found == {None: "r", "stretch": "g", "letterbox": "g"}


def test_long_lists_of_labels_are_cut_where_they_are_shown(tmp_path):
    nodes, weights = pooled(1000)
    path = save(
        tmp_path / "c.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 1000])}, weights
    )
    args = ["info", str(path), "--normalize", "-1..1", "--fit", "letterbox-start"]
    shown = CliRunner().invoke(cli, args, catch_exceptions=False).output
    assert "tench, goldfish" in shown
    assert "and 900 more" in shown
    assert "toilet tissue" not in shown
    assert "fit letterbox-start: --fit" in shown


def test_a_size_that_was_guessed_and_does_not_run_is_named(tmp_path):
    weight = numpy_helper.from_array(np.zeros((1, 3, 8, 1), np.float32), "w")
    nodes = [helper.make_node("Add", ["image", "w"], ["y"])]
    path = save(
        tmp_path / "a.onnx", nodes, picture((1, 3, "h", "w")),
        {"y": (TensorProto.FLOAT, [1, 3, 8, "v"])}, [weight],
    )  # fmt: skip
    with pytest.raises(ModelError, match="at --imgsz 224,224, which it leaves open; try another"):
        describe(path, Wishes())


def test_a_value_for_each_pixel_is_refused_in_words(tmp_path):
    nodes = [helper.make_node("Relu", ["image"], ["y"])]
    path = save(tmp_path / "s.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 3, 32, 32])})
    with pytest.raises(ModelError, match="a value for each pixel"):
        describe(path, Wishes())


RED = np.full((40, 60, 3), (0, 0, 255), np.uint8)


def test_a_classifier_asks_for_what_it_does_not_say_and_takes_it(tmp_path):
    nodes, weights = pooled()
    path = save(tmp_path / "c.onnx", nodes, picture(), {"y": (TensorProto.FLOAT, [1, 3])}, weights)
    with pytest.raises(UsageError, match=r"give --as classes if this is right: output \(1, 3\)"):
        describe(path, Wishes())
    labels = ("red", "green", "blue")
    with pytest.raises(UsageError, match=r"does not say how its pixels are scaled"):
        describe(path, Wishes(labels=labels))
    said = load_any(path, wishes=Wishes(labels=labels, normalize="0..1")).predict(RED)
    assert said.label == "red"
    # softmax of 4, 0, 0
    assert said.score == pytest.approx(np.exp(4) / (np.exp(4) + 2), abs=1e-4)
    other = load_any(path, wishes=Wishes(labels=labels, normalize="0..1", color="bgr"))
    assert other.predict(RED).label == "blue"
    with pytest.raises(UsageError, match="--labels has 2 names, but the model has 3"):
        describe(path, Wishes(layout="classes", labels=("a", "b"), normalize="0..1"))


def test_several_labels_at_once(tmp_path):
    nodes, weights = pooled()
    nodes.append(helper.make_node("Sigmoid", ["y"], ["s"]))
    path = save(tmp_path / "m.onnx", nodes, picture(), {"s": (TensorProto.FLOAT, [1, 3])}, weights)
    labels = ("red", "green", "blue")
    yellow = np.full((40, 60, 3), (0, 255, 255), np.uint8)
    said = load_any(path, wishes=Wishes(labels=labels, normalize="0..1")).predict(yellow)
    assert said.scores == pytest.approx([0.982, 0.982, 0.5], abs=1e-3)
    # The same from the logits, of which nothing says that they are not for softmax.
    outputs = {"y": (TensorProto.FLOAT, [1, 3])}
    path = save(tmp_path / "l.onnx", nodes[:-1], picture(), outputs, weights)
    wishes = Wishes(labels=labels, normalize="0..1", activation="sigmoid")
    again = load_any(path, wishes=wishes).predict(yellow)
    assert again.scores == pytest.approx(said.scores, abs=1e-6)


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
    assert any("metadata" in line for line in found.reasons)
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
    wishes = Wishes(labels=("red", "green", "blue"), normalize=normalize)
    said = load_any(path, wishes=wishes).predict(RED)
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
    wishes = Wishes(labels=("red", "green", "blue"), normalize="0..1")
    assert any("'h_in'" in line and "'h_out'" in line for line in describe(path, wishes).reasons)
    model = load_any(path, wishes=wishes)
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
    with pytest.raises(ModelError, match=r"not known what its input 'magic' \(1, 3\) takes"):
        describe(path, Wishes(labels=("a", "b", "c"), normalize="0..1"))


def test_a_model_that_fails_says_in_which_node(tmp_path):
    shape = numpy_helper.from_array(np.array([7, 7], np.int64), "s")
    node = helper.make_node("Reshape", ["image", "s"], ["y"], name="the_bad_one")
    outputs = {"y": (TensorProto.FLOAT, None)}
    path = save(tmp_path / "bad.onnx", [node], picture((1, 3, "h", "w")), outputs, [shape])
    with pytest.raises(ModelError, match=r"could not run the model: .*the_bad_one"):
        load_any(path)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("m.onnx", b"", "is empty"),
        ("m.onnx", b"\x00" * 100, r"m\.onnx: .*cannot load the model"),
        ("m.tflite", b"\x00" * 100, r"m\.tflite: .*cannot load the model"),
        ("m.tflite", b"<html>", "is a web page"),
    ],
    ids=["empty", "onnx", "tflite", "page"],
)
def test_what_is_no_model_is_refused(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ModelError, match=reason):
        load_any(path)


@pytest.mark.parametrize(
    ("inputs", "reason"),
    [
        ({"input_ids": (TensorProto.INT64, ["b", "s"])}, "text is not read"),
        ({"input": (TensorProto.FLOAT, ["b", "s"]), "sr": (TensorProto.INT64, [])}, "sound is not"),
        ({"x": (TensorProto.FLOAT, [1, 128, 3, 1])}, "--channels .* if it is a grey picture"),
        (
            {**picture(), "pixel_mask": (TensorProto.INT64, [1, 640, 640])},
            r"its input 'pixel_mask' \(1, 640, 640\) is too large",
        ),
    ],
    ids=["text", "sound", "narrow", "mask"],
)
def test_what_an_input_takes_is_told_by_its_name_or_shape(tmp_path, inputs, reason):
    node = helper.make_node("Identity", [next(iter(inputs))], ["y"])
    kind, shape = next(iter(inputs.values()))
    path = save(tmp_path / "a.onnx", [node], inputs, {"y": (kind, shape)})
    with pytest.raises((ModelError, UsageError), match=reason):
        describe(path, Wishes())


def test_of_hugging_face_it_is_told_where_the_scaling_stands(tmp_path):
    nodes, weights = pooled(10)
    nodes[0].input[0] = "pixel_values"
    inputs = {"pixel_values": (TensorProto.FLOAT, ["b", "c", "h", "w"])}
    path = save(tmp_path / "v.onnx", nodes, inputs, {"y": (TensorProto.FLOAT, ["b", 10])}, weights)
    with pytest.raises(UsageError, match=r"--normalize .*preprocessor_config\.json"):
        describe(path, Wishes())
    found = describe(path, Wishes(normalize="0..1"))
    assert found.manifest.input.size == (224, 224)
