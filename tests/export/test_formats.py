"""Every format, for a conv net with two outputs and a recurrent one: what the device's own engine
computes from the written file is what torch computes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from edgenn import plugins
from edgenn.errors import UsageError
from edgenn.export import formats
from edgenn.nets import NetSpec, csp
from edgenn.runtime import engines


class Conv(nn.Module):
    """Two grids, like a detector."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, 1, 1, groups=8),
            nn.Conv2d(8, 16, 1),
            nn.ReLU(),
        )
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 2, 1)

    def forward(self, x):
        y = self.body(x)
        return tuple(h(y).flatten(2).transpose(1, 2) for h in (self.boxes, self.scores))


class Recurrent(nn.Module):
    """A GRU and an LSTM over folded readings."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 24)
        self.gru = nn.GRU(24, 24, batch_first=True)
        self.lstm = nn.LSTM(24, 24, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        batch, time, channels = x.shape
        y = torch.relu(self.embed(x.reshape(batch, time // 2, channels * 2)))
        return self.head(self.lstm(self.gru(y)[0])[0][:, -1])


CASES = {
    "conv": (Conv, (1, 3, 32, 32), ("boxes", "scores"), False),
    "recurrent": (Recurrent, (1, 16, 6), ("logits",), True),
}
BOTH = formats.Names(("input",), ("boxes", "scores"))
# Largest difference from torch, as a share of the output's range.
BOUNDS = {"fp32": 1e-5, "fp16": 1e-2, "int8": 0.06}


def as_file_takes(form, x):
    if x.ndim == 4 and form.LAYOUT == "nhwc":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    return x


@pytest.fixture(scope="module")
def written():
    """Case and format -> the net, an input, torch's outputs, and the three files."""
    made = {}
    for case, (kind, shape, outputs, recurrent) in CASES.items():
        torch.manual_seed(0)
        rng = np.random.default_rng(0)
        net = kind().eval()
        samples = [rng.standard_normal(shape).astype(np.float32) for _ in range(32)]
        with torch.inference_mode():
            raw = net(torch.from_numpy(samples[0]))
        raw = raw if isinstance(raw, tuple) else (raw,)
        wanted = {n: v.numpy() for n, v in zip(outputs, raw, strict=True)}
        for name in plugins.names(formats):
            form = plugins.load(formats, name)
            plain = form.convert(net, [samples[0]], formats.Names(("input",), outputs), 18)
            calibration = [as_file_takes(form, s) for s in samples]
            files = {
                "fp32": plain,
                "fp16": form.half(plain),
                "int8": form.int8(plain, calibration, recurrent=recurrent, method="minmax"),
            }
            made[case, name] = form, calibration[0], wanted, files
    return made


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", plugins.names(formats))
@pytest.mark.parametrize("precision", BOUNDS)
def test_engine_computes_what_torch_does(written, case, name, precision):
    form, x, wanted, files = written[case, name]
    names = form.tensors(files[precision], formats.Names(("input",), tuple(wanted)))
    engine = plugins.load(engines, form.ENGINE).open_model(files[precision], 1)
    got = engine.run({names["input"]: x})
    for output, value in wanted.items():
        assert got[names[output]].shape == value.shape
        assert got[names[output]].dtype == np.float32
        error = np.abs(got[names[output]] - value).max() / np.ptp(value)
        assert error <= BOUNDS[precision]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", plugins.names(formats))
def test_manifest_travels_in_the_file_and_changes_nothing(written, case, name):
    form, x, wanted, files = written[case, name]
    module = plugins.load(engines, form.ENGINE)
    names = form.tensors(files["fp32"], formats.Names(("input",), tuple(wanted)))
    data = form.embed(files["fp32"], '{"hello": "world"}')
    assert module.read_manifest(data) == '{"hello": "world"}'
    assert module.read_manifest(files["fp32"]) is None
    plain = module.open_model(files["fp32"], 1).run({names["input"]: x})
    embedded = module.open_model(data, 1).run({names["input"]: x})
    for output in plain:
        assert np.array_equal(plain[output], embedded[output])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", plugins.names(formats))
def test_no_path_of_this_machine_is_in_the_file(written, case, name):
    for data in written[case, name][3].values():
        assert str(Path(torch.__file__).parent).encode() not in data
        assert Path(__file__).name.encode() not in data


def test_int8_is_smaller_where_weights_dominate(written):
    for name in plugins.names(formats):
        files = written["recurrent", name][3]
        assert len(files["int8"]) < len(files["fp32"])


def calibrated(written, method, outlier):
    """Largest error, as a share of the range, after calibrating on samples with an outlier."""
    form, x, wanted, files = written["conv", "onnx"]
    rng = np.random.default_rng(1)
    samples = [rng.standard_normal(x.shape).astype(np.float32) for _ in range(64)]
    samples[5][0, 0, 3, 3] = outlier
    data = form.int8(files["fp32"], samples, recurrent=False, method=method)
    got = plugins.load(engines, "onnx").open_model(data, 1).run({"input": x})
    return max(np.abs(got[name] - v).max() / np.ptp(v) for name, v in wanted.items())


def test_percentile_calibration_ignores_an_outlier(written):
    assert calibrated(written, "percentile", 500) < calibrated(written, "minmax", 500) / 3


@pytest.mark.parametrize("name", plugins.names(formats))
def test_rare_high_scores_are_not_clipped(written, name):
    """A detector is loud in few samples; averaged ranges would cut it off there."""
    form, _, _, files = written["conv", name]
    rng = np.random.default_rng(2)
    samples = [0.1 * rng.standard_normal((1, 3, 32, 32)).astype(np.float32) for _ in range(40)]
    samples[7] *= 60
    inputs = [as_file_takes(form, s) for s in samples]
    data = form.int8(files["fp32"], inputs, recurrent=False, method="minmax")
    names = form.tensors(data, formats.Names(("input",), ("boxes", "scores")))
    module = plugins.load(engines, form.ENGINE)
    plain, small = (
        module.open_model(d, 1).run({names["input"]: inputs[7]}) for d in (files["fp32"], data)
    )
    for output in ("boxes", "scores"):
        wanted, got = plain[names[output]], small[names[output]]
        assert np.abs(got - wanted).max() < 0.06 * np.ptp(wanted)


def test_entropy_calibration_works(written):
    assert calibrated(written, "entropy", 1) <= BOUNDS["int8"]


def test_unknown_opset_is_refused_in_a_sentence():
    form = plugins.load(formats, "onnx")
    with pytest.raises(UsageError, match="--opset must lie between 18 and 23, not 9"):
        form.convert(Conv(), [np.zeros((1, 3, 32, 32), np.float32)], BOTH, 9)


class Deep(nn.Module):
    """What SiLU takes reaches far below zero, where it gives nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 2, 1)
        with torch.no_grad():
            self.first.bias[0] = -300.0

    def forward(self, x):
        return self.last(nn.functional.silu(self.first(x)))


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_int8_spends_no_codes_on_what_silu_makes_nothing(name):
    torch.manual_seed(0)
    net, form = Deep().eval(), plugins.load(formats, name)
    inputs = [np.random.default_rng(i).random((1, 3, 32, 32), np.float32) for i in range(8)]
    plain = form.convert(net, [inputs[0]], formats.Names(("input",), ("y",)), 18)
    laid = [as_file_takes(form, x) for x in inputs]
    data = form.int8(plain, laid, recurrent=False, method="minmax")
    names = form.tensors(data, formats.Names(("input",), ("y",)))
    engine = plugins.load(engines, form.ENGINE).open_model(data, 1)
    with torch.no_grad():
        wanted = net(torch.from_numpy(inputs[0])).numpy()
    got = engine.run({names["input"]: laid[0]})[names["y"]]
    assert np.abs(got - wanted).max() < 0.06


def test_every_convolution_of_an_int8_onnx_runs_in_int8(tmp_path):
    """ONNX Runtime leaves a convolution in float, and slow, where a conversion does not fit."""
    net = csp.build(csp.Config(8, activation="silu"), NetSpec(2, (64, 64))).eval()
    inputs = [np.random.default_rng(i).random((1, 3, 64, 64), np.float32) for i in range(3)]
    form = plugins.load(formats, "onnx")
    plain = form.convert(net, [inputs[0]], BOTH, 18)
    data = form.int8(plain, inputs, recurrent=False, method="minmax")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    found = Counter(node.op_type for node in graph.node)
    assert found["QLinearConv"] > 50
    assert not found["Conv"] + found["FusedConv"]
