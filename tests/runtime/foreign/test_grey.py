"""Classifiers of one channel, such as those of digits and of faces."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tflite_files import Net

import edgenn
from edgenn.cli import cli
from edgenn.errors import ModelError, UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

# BT.601: what red, green and blue weigh.
RED, GREEN, BLUE = 76, 150, 29
PLAIN = Wishes(layout="classes", normalize="0..255")


class Levels(torch.nn.Module):
    """The mean grey level, and how far it is from 255; of whatever shape the picture is."""

    def forward(self, x):
        level = x.reshape(1, -1).mean(1, keepdim=True)
        return torch.cat([level, 255 - level], 1)


def export(path, shape, net=None, **options):
    args = (torch.zeros(shape),)
    torch.onnx.export((net or Levels()).eval(), args, str(path), dynamo=False, **options)
    return path


def of_one_colour(bgr):
    return np.full((20, 30, 3), bgr, np.uint8)


def levels(model, picture):
    return model.infer(model.preprocess(picture)[0])["logits"][0]


@pytest.mark.parametrize("shape", [(1, 1, 16, 12), (1, 16, 12, 1)])
def test_colours_become_grey(tmp_path, shape):
    path = export(tmp_path / "g.onnx", shape)
    found = describe(path, PLAIN)
    assert found.manifest.input.color == "gray"
    assert found.manifest.input.size == (16, 12)
    assert "colour gray: its one channel" in found.reasons
    # Nothing of a digit or a face is cut off.
    assert found.manifest.input.steps[0].op == "resize"
    model = load_any(path, wishes=PLAIN)
    for colour, level in (((0, 0, 255), RED), ((0, 255, 0), GREEN), ((255, 0, 0), BLUE)):
        np.testing.assert_allclose(levels(model, of_one_colour(colour)), (level, 255 - level))


def test_the_bundle_says_that_it_is_grey_and_verifies(tmp_path):
    path = export(tmp_path / "g.onnx", (1, 1, 16, 12))
    bundle = tmp_path / "g.edgenn"
    args = ["import", str(path), "--as", "classes", "--normalize", "100:50"]
    shown = CliRunner().invoke(cli, [*args, "--input-order", "gray", "-o", str(bundle)])
    assert "normalisation (x - 100) / 50: --normalize" in shown.output
    assert "16 x 12 gray picture" in CliRunner().invoke(cli, ["info", str(bundle)]).output
    assert verify(bundle)[0].status == "pass"
    got = levels(edgenn.load(bundle), of_one_colour((0, 0, 255)))
    np.testing.assert_allclose(got[0], (RED - 100) / 50, rtol=1e-5)


def test_a_tflite_file_of_one_channel(tmp_path):
    net = Net()
    x = net.tensor("image", (1, 8, 8, 1))
    shape = net.tensor("shape", (2,), np.array([1, 64], np.int32))
    flat = net.tensor("flat", (1, 64))
    net.op("RESHAPE", [x, shape], [flat])
    path = net.save(tmp_path / "d.tflite", [x], [flat])
    import_model(path, tmp_path / "d.edgenn", Wishes(normalize="0..1"))
    model = edgenn.load(tmp_path / "d.edgenn")
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    placed = model.preprocess(picture)[0]
    np.testing.assert_array_equal(levels(model, picture), placed.ravel())
    assert verify(tmp_path / "d.edgenn")[0].status == "pass"


def test_without_an_axis_of_one_a_flag_tells_a_picture_from_readings(tmp_path):
    path = export(tmp_path / "g.onnx", (1, 16, 12))
    with pytest.raises(UsageError, match=r"give --channels .* grey picture, --input-order gray"):
        describe(path, PLAIN)
    wishes = Wishes(layout="classes", normalize="0..255", color="gray")
    model = load_any(path, wishes=wishes)
    np.testing.assert_allclose(levels(model, of_one_colour((0, 0, 255)))[0], RED)


@pytest.mark.parametrize(
    ("shape", "wishes", "reason"),
    [
        ((1, 1, 16, 12), {"color": "rgb"}, r"--input-order rgb contradicts .* pictures are grey"),
        ((1, 3, 16, 12), {"color": "gray"}, r"--input-order gray is for one picture of one chan"),
        ((1, 1, 16, 12), {"normalize": "imagenet"}, r"0\.\.1, -1\.\.1, 0\.\.255 or mean:std"),
        ((1, 1, 16, 12), {"normalize": "1,2,3:1,2,3"}, r"mean:std on 0\.\.255, not '1,2,3:1,2,3'"),
        ((1, 1, 16, 12), {"normalize": "1:0"}, r"--normalize 1:0: .*std above 0"),
        ((1, 1, 16, 12), {"normalize": ""}, r"give --normalize 0\.\.1, -1\.\.1, 0\.\.255 or mean"),
    ],
)
def test_what_does_not_fit_one_channel_is_refused(tmp_path, shape, wishes, reason):
    path = export(tmp_path / "g.onnx", shape)
    with pytest.raises(UsageError, match=reason):
        describe(path, Wishes(**{"layout": "classes", "normalize": "0..255", **wishes}))


@pytest.mark.parametrize("shape", [(8, 1, 16, 12), (8, 3, 16, 12), (2, 16, 12, 3)])
def test_a_batch_is_refused(tmp_path, shape):
    path = export(tmp_path / "b.onnx", shape)
    with pytest.raises(
        ModelError, match=f"takes a batch of {shape[0]}; export it for a batch of 1"
    ):
        describe(path, PLAIN)


def test_a_batch_in_a_tflite_file_is_refused(tmp_path):
    net = Net()
    x, y = net.tensor("image", (4, 8, 8, 3)), net.tensor("scores", (4, 3))
    axes = net.tensor("axes", (2,), np.array([1, 2], np.int32))
    net.op("MEAN", [x, axes], [y], ReducerOptions={"keepDims": False})
    path = net.save(tmp_path / "b.tflite", [x], [y])
    with pytest.raises(ModelError, match="takes a batch of 4; export it for a batch of 1"):
        describe(path, PLAIN)


def test_fomo_of_grey_pictures(tmp_path):
    class Bright(torch.nn.Module):
        def forward(self, x):
            share = torch.nn.functional.avg_pool2d(x, 8)
            return torch.cat([1 - share, share], 1).permute(0, 2, 3, 1)

    path = export(tmp_path / "f.onnx", (1, 1, 32, 48), Bright())
    model = load_any(path, ("light",))
    assert model.manifest.decode.name == "fomo"
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[16:32, 32:64] = 230
    found = model.predict(picture)
    np.testing.assert_array_equal(found.boxes, [[32, 16, 64, 32]])
    np.testing.assert_allclose(found.scores, [230 / 255], atol=1e-6)
    assert found.name(0) == "light"
