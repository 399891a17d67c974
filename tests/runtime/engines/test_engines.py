"""What every engine must do, on the tiny models, whose answers are known on paper."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgenn import plugins
from edgenn.bundle.store import open_bundle
from edgenn.errors import ModelError
from edgenn.runtime import engines

NAMES = plugins.names(engines)
PRECISIONS = ["fp32", "int8"]


@pytest.fixture
def opened(request, tiny):
    """Engine plug-in, variant, file and loaded model of tiny-classify."""
    name, precision = request.param
    bundle = open_bundle(tiny / "tiny-classify.edgenn")
    (variant,) = (
        v for v in bundle.manifest.variants if (v.engine, v.precision) == (name, precision)
    )
    data = bundle.read(variant.file)
    plugin = plugins.load(engines, name)
    return plugin, variant, data, plugin.open_model(data, 1)


every = pytest.mark.parametrize(
    "opened", [(n, p) for n in NAMES for p in PRECISIONS], indirect=True, ids="-".join
)


def colour(variant, rgb):
    image = np.ones((1, 32, 32, 3), np.float32) * np.array(rgb, np.float32)
    return image.transpose(0, 3, 1, 2) if variant.layout == "nchw" else image


@every
def test_names_and_shapes_are_those_of_the_manifest(opened):
    plugin, variant, _, model = opened
    shape = (1, 3, 32, 32) if variant.layout == "nchw" else (1, 32, 32, 3)
    assert dict(model.inputs) == {variant.tensors["image"]: shape}
    assert model.outputs == (variant.tensors["logits"],)
    assert variant.file.endswith(plugin.SUFFIX)


@every
def test_floats_in_and_floats_out_whatever_the_file_holds(opened):
    _, variant, _, model = opened
    name, out = variant.tensors["image"], variant.tensors["logits"]
    for rgb, logits in (((0.6, 0.1, 0.1), (4, -2, -2)), ((0.2, 0.2, 0.7), (-2, -2, 4))):
        found = model.run({name: colour(variant, rgb)})[out]
        assert found.dtype == np.float32
        assert found.reshape(-1) == pytest.approx(
            logits, abs=0.1 if "int8" in variant.file else 1e-4
        )


@every
def test_the_same_input_gives_the_same_bits(opened):
    _, variant, _, model = opened
    feed = {variant.tensors["image"]: colour(variant, (0.3, 0.6, 0.1))}
    out = variant.tensors["logits"]
    first = model.run(feed)[out].copy()
    assert all(np.array_equal(model.run(feed)[out], first) for _ in range(20))


@every
def test_values_out_of_range_saturate(opened):
    _, variant, _, model = opened
    name, out = variant.tensors["image"], variant.tensors["logits"]
    found = model.run({name: colour(variant, (1000, -1000, -1000))})[out].reshape(-1)
    assert np.isfinite(found).all()
    assert found.argmax() == 0


@every
def test_wrong_names_and_shapes_are_refused(opened):
    _, variant, _, model = opened
    name = variant.tensors["image"]
    with pytest.raises(ModelError):
        model.run({"other": colour(variant, (1, 1, 1))})
    with pytest.raises(ModelError):
        model.run({})
    with pytest.raises(ModelError):
        model.run({name: np.zeros((1, 3, 16, 16), np.float32)})
    assert np.isfinite(
        model.run({name: colour(variant, (1, 1, 1))})[variant.tensors["logits"]]
    ).all()


@every
def test_the_manifest_is_in_the_file(opened):
    plugin, variant, data, _ = opened
    inside = json.loads(plugin.read_manifest(data))
    assert inside["labels"] == ["red", "green", "blue"]
    assert [v["file"] for v in inside["variants"]] == [variant.file]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", [b"", b"<html>not found</html>", bytes(5000)])
def test_garbage_is_refused_in_a_sentence(name, data):
    with pytest.raises(ModelError, match="cannot load the model"):
        plugins.load(engines, name).open_model(data, 1)


def test_int8_tensors_go_in_and_out_of_litert_quantised(tiny):
    litert = plugins.load(engines, "litert")
    bundle = open_bundle(tiny / "tiny-classify.edgenn")
    model = litert.open_model(bundle.read("model.int8.tflite"), 1)
    (details,) = model._interpreter.get_input_details()
    assert details["dtype"] == np.int8  # or this file would prove nothing
    scale, zero = details["quantization"]
    codes = litert.quantize(np.array([0, 0.5, 1, 99, -99], np.float32), details)
    assert codes.dtype == np.int8
    assert codes[3:].tolist() == [127, -128]
    back = litert.dequantize(codes[:3], details)
    assert back == pytest.approx([0, 0.5, 1], abs=scale / 2 + 1e-6)
    assert litert.quantize(np.array([0], np.float32), details)[0] == zero
