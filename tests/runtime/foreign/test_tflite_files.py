"""TFLite files as other toolkits write them: with metadata, of free size, with variables."""

from __future__ import annotations

import numpy as np
import pytest
from tflite_files import Net, metadata

import edgenn
from edgenn.errors import UsageError
from edgenn.runtime.engines.litert import open_model
from edgenn.runtime.foreign import Wishes, describe, load_any
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

BLUE = np.full((30, 40, 3), (255, 0, 0), np.uint8)


def channel_means(path, shape, free=None, **extra):
    """Scores are the mean of each channel."""
    net = Net()
    x = net.tensor("image", shape, free=free)
    axes = net.tensor("axes", (2,), np.array([1, 2], np.int32))
    y = net.tensor("scores", (1, shape[3]))
    net.op("MEAN", [x, axes], [y], ReducerOptions={"keepDims": False})
    return net.save(path, [x], [y], **extra)


def test_normalisation_and_labels_of_tflite_metadata(tmp_path):
    said = metadata((127.5,), (127.5,), "dict.txt")
    files = {"notes.txt": "labels lie elsewhere", "dict.txt": "red\ngreen\nblue\n"}
    path = channel_means(tmp_path / "m.tflite", (1, 8, 8, 3), metadata=said, files=files)
    found = describe(path, Wishes())
    assert any("TFLite metadata" in line for line in found.reasons)
    assert "3 labels: dict.txt inside the file" in found.reasons
    bundle = tmp_path / "m.edgenn"
    import_model(path, bundle, Wishes(), [BLUE])
    model = edgenn.load(bundle)
    assert model.predict(BLUE).label == "blue"
    outputs = model.infer(model.preprocess(BLUE)[0])
    np.testing.assert_allclose(outputs["logits"], [[-1, -1, 1]], atol=1e-6)
    assert verify(bundle)[0].status == "pass"


def test_each_channel_has_its_own_numbers_in_the_metadata(tmp_path):
    said = metadata((0.0, 5.0, 55.0), (1.0, 2.0, 4.0), "labels.txt")
    path = channel_means(tmp_path / "m.tflite", (1, 8, 8, 3), metadata=said)
    model = load_any(path, wishes=Wishes(layout="classes"))
    outputs = model.infer(model.preprocess(BLUE)[0])
    np.testing.assert_allclose(outputs["logits"], [[0, -2.5, 50]], atol=1e-5)


def test_a_size_that_a_file_leaves_free_is_that_of_imgsz(tmp_path):
    path = channel_means(tmp_path / "f.tflite", (1, 1, 1, 3), free=[1, -1, -1, 3])
    plain = Wishes(layout="classes", normalize="0..1")
    assert describe(path, plain).manifest.input.size == (224, 224)
    wishes = Wishes(layout="classes", normalize="0..1", size=(32, 48))
    bundle = tmp_path / "f.edgenn"
    import_model(path, bundle, wishes)
    model = edgenn.load(bundle)
    assert model.manifest.input.size == (32, 48)
    # Its top half is blue, its lower half red: a net that saw a part would say another share.
    halves = np.full((32, 48, 3), (255, 0, 0), np.uint8)
    halves[16:] = (0, 0, 255)
    assert model.predict(halves).scores == pytest.approx([0.5, 0, 0.5], abs=1e-5)
    assert verify(bundle)[0].status == "pass"


def test_a_fixed_size_is_not_changed_by_imgsz(tmp_path):
    path = channel_means(tmp_path / "f.tflite", (1, 8, 8, 3), free=[-1, 8, 8, 3])
    with pytest.raises(UsageError, match=r"--imgsz \(24, 40\) contradicts .*takes \(8, 8\)"):
        describe(path, Wishes(layout="classes", normalize="0..1", size=(24, 40)))


def rnn(path):
    """Keras's fused form: h = tanh(x + h / 2) over the window, where h is a variable inside."""
    net = Net()
    x = net.tensor("readings", (1, 4, 2))
    w = net.tensor("w", (2, 2), np.eye(2, dtype=np.float32))
    u = net.tensor("u", (2, 2), np.eye(2, dtype=np.float32) / 2)
    bias = net.tensor("b", (2,), np.zeros(2, np.float32))
    h = net.tensor("h", (1, 2), variable=True)
    y = net.tensor("all", (1, 4, 2))
    options = {"timeMajor": False, "fusedActivationFunction": 4}
    net.op("UNIDIRECTIONAL_SEQUENCE_RNN", [x, w, u, bias, h], [y], SequenceRNNOptions=options)
    axes = net.tensor("axes", (1,), np.array([1], np.int32))
    out = net.tensor("scores", (1, 2))
    net.op("MEAN", [y, axes], [out], ReducerOptions={"keepDims": False})
    return net.save(path, [x], [out])


def test_variables_inside_a_file_are_empty_before_each_window(tmp_path):
    path = rnn(tmp_path / "k.tflite")
    window = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    h, steps = np.zeros(2), []
    for x in window:
        h = np.tanh(x + h / 2)
        steps.append(h)
    engine = open_model(path.read_bytes(), 1)
    for _ in range(3):
        found = engine.run({"readings": window[None]})["scores"]
        np.testing.assert_allclose(found, [np.mean(steps, 0)], atol=1e-6)
    wishes = Wishes(channels=("a", "b"), rate=20.0, labels=("left", "right"))
    import_model(path, tmp_path / "k.edgenn", wishes)
    model = edgenn.load(tmp_path / "k.edgenn")
    scores = [model.predict(w).scores for w in (window, window[::-1], window)]
    np.testing.assert_array_equal(scores[0], scores[2])
    assert verify(tmp_path / "k.edgenn")[0].status == "pass"
