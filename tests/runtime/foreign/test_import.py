from __future__ import annotations

import contextlib
import zipfile

import cv2
import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import TensorProto, helper

import edgenn
from edgenn.cli import cli
from edgenn.errors import ModelError, UsageError
from edgenn.runtime.engines._flatbuffer import tensor_scaling
from edgenn.runtime.engines._protobuf import external_files
from edgenn.runtime.foreign import Wishes, describe, is_foreign, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

PICTURE = np.random.default_rng(0).integers(0, 256, (50, 70, 3)).astype(np.uint8)
PLAIN = Wishes(normalize="0..1", layout="classes")


def export(net, args, path, metadata=None, **options):
    torch.onnx.export(net.eval(), args, str(path), dynamo=False, opset_version=13, **options)
    if metadata:
        model = onnx.load(path)
        helper.set_model_props(model, metadata)
        onnx.save(model, path)
    return path


class Mean(torch.nn.Module):
    """Scores are the means of the channels, so that what came in can be read off."""

    def forward(self, x):
        return x.mean((2, 3))


class Sigmoid(torch.nn.Module):
    def forward(self, x):
        return torch.sigmoid(x.mean((2, 3)))


class Memory(torch.nn.Module):
    def forward(self, image, h0):
        hn = h0 + 1
        return image.mean((2, 3)) * 0 + hn, hn


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
class TestOnnx:
    def test_what_the_metadata_say_needs_no_flag(self, tmp_path):
        said = {"names": "{0: 'red', 1: 'green', 2: 'blue'}", "task": "classify", "stride": "1"}
        path = export(Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx", said)
        found = edgenn.load(path).predict(np.full((8, 8, 3), (0, 0, 255), np.uint8))
        assert found.label == "red"

    def test_a_scale_that_nobody_tells_is_asked_for(self, tmp_path):
        path = export(Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx")
        with pytest.raises(UsageError, match="--normalize imagenet"):
            describe(path, Wishes(layout="classes"))

    def test_a_layout_that_is_not_sure_is_asked_for(self, tmp_path):
        path = export(Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx")
        with pytest.raises(UsageError, match="--as classes"):
            describe(path, Wishes(normalize="0..1"))

    def test_several_classes_may_hold(self, tmp_path):
        path = export(Sigmoid(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx")
        found = load_any(path, wishes=PLAIN).predict(np.full((8, 8, 3), 255, np.uint8))
        np.testing.assert_allclose(found.scores, 1 / (1 + np.exp(-1)), atol=1e-5)

    def test_free_sizes_follow_imgsz(self, tmp_path):
        axes = {"x": {0: "n", 2: "h", 3: "w"}}
        path = export(
            Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx", input_names=["x"],
            dynamic_axes=axes,
        )  # fmt: skip
        assert describe(path, PLAIN).manifest.input.size == (224, 224)
        wishes = Wishes(normalize="0..1", layout="classes", size=(32, 48))
        model = load_any(path, wishes=wishes)
        assert model.manifest.input.size == (32, 48)
        assert len(model.predict(PICTURE).scores) == 3

    def test_half_precision_in_and_out(self, tmp_path):
        net = Mean().half()
        path = export(net, torch.zeros(1, 3, 8, 8).half(), tmp_path / "a.onnx")
        model = load_any(path, wishes=PLAIN)
        assert model.variant.precision == "fp16"
        assert model.predict(np.full((8, 8, 3), (255, 0, 0), np.uint8)).class_id == 2

    def test_memory_goes_from_picture_to_picture(self, tmp_path):
        names = {"input_names": ["image", "h0"], "output_names": ["scores", "hn"]}
        args = (torch.zeros(1, 3, 8, 8), torch.zeros(1, 3))
        path = export(Memory(), args, tmp_path / "a.onnx", **names)
        model = load_any(path, wishes=PLAIN)
        assert [s.shape for s in model.manifest.state] == [(1, 3)]
        tensor, _ = model.preprocess(PICTURE)
        steps = [float(model.infer(tensor)["logits"][0, 0]) for _ in range(3)]
        assert steps == [1, 2, 3]
        bundle = tmp_path / "a.edgenn"
        import_model(path, bundle, PLAIN, [PICTURE, PICTURE])
        assert verify(bundle)[0].status == "pass"

    def test_the_command_writes_a_bundle_that_verifies(self, tmp_path):
        path = export(Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx")
        args = ["import", str(path), "--as", "classes", "--normalize", "0..1"]
        args += ["-o", str(tmp_path / "b.edgenn"), "--name", "mine"]
        shown = CliRunner().invoke(cli, args, catch_exceptions=False)
        assert "normalisation" in shown.output
        assert verify(tmp_path / "b.edgenn")[0].status == "pass"
        assert edgenn.load(tmp_path / "b.edgenn").manifest.provenance.foreign


def test_what_edgenn_does_not_import_is_told_apart(tiny, tmp_path):
    with zipfile.ZipFile(tmp_path / "hand.task", "w") as archive:
        archive.writestr("palm.tflite", b"")
    for name in ("net.pt", "net.h5", "net.xml", "saved/saved_model.pb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"something else")
    for path, sentence in (
        (tiny / "tiny-detect.edgenn", "needs no import: edgenn wrote it"),
        (tmp_path / "hand.task", "unpack it, and take palm.tflite"),
        (tmp_path / "net.pt", "file of PyTorch, which runs nowhere without its code: export it to"),
        (tmp_path / "net.h5", "is a model of TensorFlow: convert it to TFLite"),
        (tmp_path / "saved", "is a model of TensorFlow: convert it to TFLite"),
        (tmp_path / "net.xml", "edgenn imports .onnx and .tflite files"),
        (tmp_path / "none.onnx", "there is no model file at"),
    ):
        shown = CliRunner().invoke(cli, ["import", str(path)])
        assert shown.exit_code
        assert sentence in str(shown.output) + str(shown.exception)


def write(path, nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("elsewhere", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def test_weights_beside_the_file_are_merged_and_none_from_elsewhere(tmp_path):
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    weight = onnx.numpy_helper.from_array(values, "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["y"]),
    ]
    (tmp_path / "m.data").write_bytes(values.tobytes())
    for location in ("m.data", "../secret"):
        weight.ClearField("raw_data")
        weight.raw_data = values.tobytes()
        onnx.external_data_helper.set_external_data(weight, location, 0, values.nbytes)
        weight.ClearField("raw_data")
        graph = helper.make_graph(nodes, "g", [x], [y], [weight])
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
        if location == "m.data":
            import_model(tmp_path / "m.onnx", tmp_path / "m.edgenn", PLAIN)
        else:
            with pytest.raises(ModelError, match="outside its folder"):
                describe(tmp_path / "m.onnx", PLAIN)
    (tmp_path / "m.data").unlink()
    (tmp_path / "m.onnx").unlink()
    white = edgenn.load(tmp_path / "m.edgenn")
    tensor, _ = white.preprocess(np.full((8, 8, 3), 255, np.uint8))
    np.testing.assert_allclose(white.infer(tensor)["logits"][0], values.sum(0))


def test_weights_that_an_old_file_lists_as_inputs_are_none(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    w = helper.make_tensor_value_info("w", TensorProto.FLOAT, [1, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    weight = onnx.numpy_helper.from_array(np.ones((1, 3), np.float32), "w")
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", ["m", "w"], ["y"]),
    ]
    write(tmp_path / "o.onnx", nodes, [x, w], [y], [weight])
    assert len(load_any(tmp_path / "o.onnx", wishes=PLAIN).predict(PICTURE).scores) == 3


def test_a_custom_operation_is_named(tmp_path):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])
    write(tmp_path / "c.onnx", [helper.make_node("Magic", ["x"], ["y"], domain="elsewhere")],
          [x], [y])  # fmt: skip
    with pytest.raises(ModelError, match=r"custom operation \S*Magic"):
        describe(tmp_path / "c.onnx", PLAIN)


def test_the_macaw_is_found(real_data, tmp_path):
    models = real_data / "models"
    photo = cv2.imread(str(models / "parrot.jpg"))
    path = models / "mobilenet_v2_1.0_224_quant.tflite"
    import_model(path, tmp_path / "m.edgenn", Wishes(), [photo])
    model = edgenn.load(tmp_path / "m.edgenn")
    assert model.predict(photo).label == "macaw"
    assert model.predict(photo).score > 0.9
    assert verify(tmp_path / "m.edgenn")[0].status == "pass"


@pytest.mark.parametrize("seed", range(12))
def test_damaged_metadata_ends_in_a_sentence(real_data, seed):
    # Whatever else it raises would be a traceback to the user.
    rng = np.random.default_rng(seed)
    for name, read in (
        ("hand_landmark_lite.tflite", tensor_scaling),
        ("yolox_nano.onnx", external_files),
    ):
        data = bytearray((real_data / "models" / name).read_bytes()[:100_000])
        for at in rng.integers(0, 4000, 20):
            data[at] = rng.integers(256)
        with contextlib.suppress(ModelError):
            read(bytes(data))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_name_in_capitals_is_read(tmp_path):
    path = export(Mean(), torch.zeros(1, 3, 8, 8), tmp_path / "a.onnx").rename(tmp_path / "A.ONNX")
    import_model(path, tmp_path / "a.edgenn", PLAIN)
    assert verify(tmp_path / "a.edgenn")[0].status == "pass"
    assert is_foreign(path)
