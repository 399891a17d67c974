from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.runtime.engines.litert import dequantize, open_model, quantize


def test_each_channel_has_its_own_scale_there_and_back():
    details = {
        "dtype": np.int8,
        "quantization": (0.0, 0),
        "quantization_parameters": {
            "scales": np.array([0.5, 0.25], np.float32),
            "zero_points": np.array([0, -10], np.int32),
            "quantized_dimension": 1,
        },
    }
    values = np.array([[1.0, 1.0], [100.0, -0.5]], np.float32)
    codes = quantize(values, details)
    assert codes.tolist() == [[2, -6], [127, -12]]
    assert dequantize(codes, details).tolist() == [[1.0, 1.0], [63.5, -0.5]]


def test_integers_without_a_scale_are_rounded_not_cut():
    details = {"dtype": np.uint8, "quantization": (0.0, 0)}
    assert quantize(np.array([1.6, 300, -4], np.float32), details).tolist() == [2, 255, 0]


def test_pixels_of_an_8_bit_input_pass_as_they_are(real_data):
    path = real_data / "models" / "mobilenet_v2_1.0_224_quant.tflite"
    engine = open_model(path.read_bytes(), 1)
    ((name, (mean, std)),) = engine.pixels.items()
    levels = np.arange(256, dtype=np.float32)
    details = {"dtype": np.uint8, "quantization": (0.0078125, 128)}
    assert name == "input"
    assert (quantize((levels - mean) / std, details) == levels).all()


def test_a_size_that_the_net_cannot_take_is_refused_in_a_sentence(real_data):
    engine = open_model((real_data / "models" / "palm_detection_lite.tflite").read_bytes(), 1)
    with pytest.raises(ModelError, match="LiteRT cannot take"):
        engine.fix({"input_1": (1, 64, 64, 3)})
