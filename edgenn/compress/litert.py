"""Post-training quantisation of TFLite files, with ai-edge-quantizer.

Conv nets become static int8, calibrated on real samples; recurrent nets
become dynamic int8: weights int8, activations and states float. The engine
turns activations to int8 as it goes, but not those of convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ai_edge_quantizer import qtyping, quantizer, recipe
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.recipe_manager import AlgorithmName, RecipeManager
from ai_edge_quantizer.utils import tfl_flatbuffer_utils
from ai_edge_quantizer.utils.qsv_utils import min_max_update

from edgenn.compress._quiet import quiet
from edgenn.train.qat import SILU_FLOOR
from edgenn.types import Floats

_SIGNATURE = "serving_default"
_CONVOLUTIONS = (
    qtyping.TFLOperationName.CONV_2D,
    qtyping.TFLOperationName.DEPTHWISE_CONV_2D,
)


def static_int8(data: bytes, samples: Iterable[Floats]) -> bytes:
    """Quantise weights and activations to int8, the input and outputs too.

    Args:
        data: A float TFLite file with one signature and one input.
        samples: Inputs as the file takes them, batch of 1; real ones, a hundred or more.
    """
    work = quantizer.Quantizer(bytearray(data), recipe.static_wi8_ai8())
    rules = RecipeManager()
    rules.load_quantization_recipe(recipe.static_wi8_ai8())
    feeds = {_SIGNATURE: [{"args_0": sample.copy()} for sample in samples]}
    with quiet():
        # The quantiser's own calibrate() averages the extremes of single samples. A detector's
        # scores are high in few cells of few samples: the average clips just those.
        ranges = Calibrator(bytes(data), qsv_update_func=min_max_update)
        ranges.calibrate(feeds, rules)
        found = ranges.get_model_qsvs()
        # What SiLU takes, without the part that it turns into nothing.
        for name in _silu_inputs(data) & found.keys():
            found[name]["min"] = np.maximum(found[name]["min"], np.float32(SILU_FLOOR))
        return bytes(work.quantize(found).quantized_model)


def _silu_inputs(data: bytes) -> set[str]:
    """Names of tensors that a sigmoid takes and its output is multiplied with."""
    model = tfl_flatbuffer_utils.read_model(data)
    found = set()
    for graph in model.subgraphs:
        kinds = [
            tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME.get(
                model.operatorCodes[operator.opcodeIndex].builtinCode
            )
            for operator in graph.operators
        ]
        joined = list(zip(kinds, graph.operators, strict=True))
        products = [o for kind, o in joined if kind == qtyping.TFLOperationName.MUL]
        multiplied = {int(i) for o in products for i in o.inputs}
        for kind, o in joined:
            sigmoid = kind == qtyping.TFLOperationName.LOGISTIC
            if sigmoid and {int(o.inputs[0]), int(o.outputs[0])} <= multiplied:
                found.add(tfl_flatbuffer_utils.get_tensor_name(graph.tensors[o.inputs[0]]))
    return found


def dynamic_int8(data: bytes) -> bytes:
    """Weights to int8, per channel; activations are quantised as the engine goes.

    Those of convolutions stay float, and their weights become float as the engine loads
    them: per step of a small net the conversions take thrice as long as they save.
    """
    rules = list(recipe.dynamic_wi8_afp32())
    (stored,) = recipe.weight_only_wi8_afp32()
    rules += [{**stored, "operation": operation} for operation in _CONVOLUTIONS]
    work = quantizer.Quantizer(bytearray(data), rules)
    with quiet():
        return bytes(work.quantize().quantized_model)


def float16(data: bytes) -> bytes:
    """Weights to float16; the engine computes in float32 or float16 as the device can."""
    work = quantizer.Quantizer(bytearray(data))
    work.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    with quiet():
        return bytes(work.quantize().quantized_model)
