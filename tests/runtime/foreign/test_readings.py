"""Models of sensor readings from elsewhere, in every order of axes that exporters leave."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tflite_files import Net, metadata

import edgenn
from edgenn.cli import cli
from edgenn.errors import ModelError, UsageError
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

AXES = ("ax", "ay", "az")
PLAIN = Wishes(channels=AXES, rate=50.0, labels=AXES)
WINDOW = np.random.default_rng(0).normal((0.2, -1, 0.5), 1, (40, 3)).astype(np.float32)


class Means(torch.nn.Module):
    """The score of a class is the mean of its channel over time."""

    def __init__(self, shape, *order):
        super().__init__()
        self.shape, self.order = shape, order

    def forward(self, x):
        return x.reshape(self.shape).permute(*self.order).mean(0)[None] * 4


def export(path, shape, net, **options):
    args = (torch.zeros(shape),)
    torch.onnx.export(net, args, str(path), dynamo=False, input_names=["x"], **options)
    return path


def packed(tmp_path, shape=(1, 40, 3)):
    return export(tmp_path / "har.onnx", shape, Means((40, 3), 0, 1))


@pytest.mark.parametrize(
    ("shape", "net", "word"),
    [
        ((1, 40, 3), Means((40, 3), 0, 1), "moment by moment"),
        ((1, 3, 40), Means((3, 40), 1, 0), "channel by channel"),
        ((40, 1, 3), Means((40, 3), 0, 1), "moment by moment"),
        ((1, 120), Means((40, 3), 0, 1), "moment by moment"),
        ((1, 40, 3, 1), Means((40, 3), 0, 1), "moment by moment"),
        ((1, 1, 3, 40), Means((3, 40), 1, 0), "channel by channel"),
    ],
    ids=["btc", "bct", "tbc", "flat", "btc1", "b1ct"],
)
def test_the_number_of_channels_tells_which_axis_is_time(tmp_path, shape, net, word):
    path = export(tmp_path / "har.onnx", shape, net)
    found = describe(path, PLAIN)
    assert found.reasons[0] == f"input 'x' {shape}: 40 x 3 readings, {word}"
    spec = found.manifest.input
    assert (spec.length, spec.stride, spec.rate, spec.channels) == (40, 20, 50, AXES)
    logits = WINDOW.mean(0) * 4
    expected = np.exp(logits) / np.exp(logits).sum()
    said = load_any(path, wishes=PLAIN).predict(WINDOW)
    np.testing.assert_allclose(said.scores, expected, atol=1e-5)


def test_readings_are_normalised_by_channel_and_by_nothing_else(tmp_path):
    path = packed(tmp_path)

    def logits(**wishes):
        model = load_any(path, wishes=Wishes(channels=AXES, rate=50.0, **wishes))
        return model.infer(model.preprocess(WINDOW)[0])["logits"][0]

    means = WINDOW.mean(0)
    np.testing.assert_allclose(logits(), means * 4, atol=1e-5)
    each = logits(normalize="1,2,3:4,5,6")
    np.testing.assert_allclose(each, (means - (1, 2, 3)) / (4, 5, 6) * 4, atol=1e-5)
    np.testing.assert_allclose(logits(normalize="1:2"), (means - 1) / 2 * 4, atol=1e-5)


def test_a_tflite_file_with_its_normalisation_and_labels(tmp_path):
    net = Net()
    x, y = net.tensor("x", (1, 40, 3)), net.tensor("y", (1, 3))
    axes = net.tensor("axes", (1,), np.array([1], np.int32))
    net.op("MEAN", [x, axes], [y], ReducerOptions={"keepDims": False})
    said = metadata((0.5, 0.0, 0.0), (2.0, 1.0, 1.0), "labels.txt")
    files = {"labels.txt": "sit\nwalk\nrun\n"}
    path = net.save(tmp_path / "k.tflite", [x], [y], metadata=said, files=files)
    import_model(path, tmp_path / "k.edgenn", Wishes(channels=AXES, rate=50.0))
    model = edgenn.load(tmp_path / "k.edgenn")
    assert model.labels == ("sit", "walk", "run")
    got = model.infer(model.preprocess(WINDOW)[0])["logits"][0]
    np.testing.assert_allclose(got, (WINDOW.mean(0) - (0.5, 0, 0)) / (2, 1, 1), atol=1e-5)
    assert verify(tmp_path / "k.edgenn")[0].status == "pass"


def test_a_recording_runs_through_the_bundle_and_through_the_file(tmp_path, recording):
    # The recording has x low, then in the middle, then high; y is noise.
    path = export(tmp_path / "har.onnx", (1, 2, 20), Means((2, 20), 1, 0))
    (tmp_path / "labels.txt").write_text("x is high\nx is low\n")
    flags = ["--channels", "x,y", "--rate", "20", "--units", "g,g", "--stride", "10"]
    flags += ["--labels", str(tmp_path / "labels.txt"), "--normalize", "-1.5,0:1,1"]
    bundle = str(tmp_path / "har.edgenn")

    def lines(*command):
        shown = CliRunner().invoke(cli, command, catch_exceptions=False)
        assert shown.exit_code == 0, shown.output
        return shown.stdout.splitlines()

    lines("import", str(path), *flags, "-o", bundle)
    info = "\n".join(lines("info", bundle))
    assert "20 readings at 20 Hz of x, y, every 10" in info
    assert verify(bundle)[0].status == "pass"
    source = ["--sensor", str(recording), "--out", "-"]
    rows = [json.loads(line) for line in lines("run", bundle, *source)]
    # 300 readings; of the first 5 s all windows are low, of the last 10 all are high.
    labels = [row["labels"][0]["label"] for row in rows]
    assert len(labels) >= 29
    assert set(labels[:8]) == {"x is low"}
    assert set(labels[12:]) == {"x is high"}
    same = [json.loads(line) for line in lines("run", str(path), *source, *flags)]
    assert [row["labels"] for row in same] == [row["labels"] for row in rows]


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        (Wishes(), r"'x' has readings of a sensor, give --channels .* and --rate in Hz"),
        (Wishes(channels=AXES), r"\(1, 40, 3\).* --rate \(readings a second\) too"),
        (Wishes(rate=50.0), r"give --channels with a name for each value"),
        (Wishes(rate=1.0, units=("g",)), r"--units says .* give --channels \(the name of .* too"),
        (Wishes(stride=4), r"give --channels .* and --rate .* too"),
        (
            Wishes(channels=("a", "b", "c", "d", "e", "f", "g"), rate=1.0),
            r"--channels names 7, but no input .* takes 'x' \(1, 40, 3\)",
        ),
        (Wishes(channels=("a", "a", "b"), rate=1.0), "--channels names one twice: a,a,b"),
        (Wishes(channels=AXES, rate=1.0, units=("g",)), "--units has 1 units for 3 channels"),
        (Wishes(channels=AXES, rate=1.0, length=30), "--window 30 contradicts .* takes 40 read"),
        (Wishes(channels=AXES, rate=1.0, size=(8, 8)), "--input-order and --fit are for pictures"),
        (Wishes(channels=AXES, rate=1.0, fit="crop"), "--input-order and --fit are for pictures"),
        (Wishes(channels=AXES, rate=1.0, layout="yolov8"), "--as yolov8 is for pictures"),
        (
            Wishes(channels=AXES, rate=1.0, normalize="imagenet"),
            r"--normalize must be mean,\.\.\.:std,\.\.\. with 3 numbers each, or one",
        ),
        (Wishes(channels=AXES, rate=1.0, normalize="1,2:1,2"), "with 3 numbers each"),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, wishes, reason):
    with pytest.raises(UsageError, match=reason):
        describe(packed(tmp_path), wishes)


def test_a_batch_of_windows_is_refused(tmp_path):
    path = export(tmp_path / "b.onnx", (8, 40, 3), Means((8, 40, 3), 1, 0, 2))
    with pytest.raises(ModelError, match="takes a batch of 8; export it for a batch of 1"):
        describe(path, PLAIN)
    with pytest.raises(ModelError, match="takes a batch of 8"):
        describe(path, Wishes())


def test_a_length_that_a_file_leaves_free_is_asked_for(tmp_path):
    class Free(torch.nn.Module):
        def forward(self, x):
            return x.mean(1)

    axes = {"x": {0: "n", 1: "time"}}
    path = export(tmp_path / "f.onnx", (1, 40, 3), Free(), dynamic_axes=axes)
    with pytest.raises(UsageError, match=r"how many readings its input 'x' takes: give --window N"):
        describe(path, PLAIN)
    wishes = Wishes(channels=AXES, rate=50.0, labels=AXES, length=25)
    model = load_any(path, wishes=wishes)
    got = model.infer(model.preprocess(WINDOW[:25])[0])["logits"][0]
    np.testing.assert_allclose(got, WINDOW[:25].mean(0), atol=1e-6)


def test_pictures_are_no_golden_samples_of_readings(tmp_path):
    picture = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(UsageError, match="--picture is for models of pictures"):
        import_model(packed(tmp_path), tmp_path / "x.edgenn", PLAIN, [picture])


def test_a_net_of_readings_that_is_no_classifier_is_refused(tmp_path):
    class Same(torch.nn.Module):
        def forward(self, x):
            return x * 2

    path = export(tmp_path / "s.onnx", (1, 40, 3), Same())
    with pytest.raises(ModelError, match=r"takes readings and gives .*\(1, 40, 3\)"):
        describe(path, PLAIN)
