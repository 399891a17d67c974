"""Which output is the next value of which input; streams through files that torch exported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import nn

import edgenn
from edgenn import plugins
from edgenn.cli import cli
from edgenn.errors import ModelError, UsageError
from edgenn.export import formats
from edgenn.runtime.foreign import Wishes, describe
from edgenn.runtime.foreign._memory import Tensors, find_memory
from edgenn.runtime.foreign.importing import import_model
from edgenn.runtime.golden import verify

# The exporter warns of what it reads off the example; it is old, but names nothing as users' do.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
    pytest.mark.filterwarnings("ignore:Exporting a model to ONNX:UserWarning"),
]

STATE, SCORES = (1, 1, 32), (1, 5)
AXES = ("ax", "ay", "az", "gx", "gy", "gz")


def pairs(inputs, outputs, given=None, shape=STATE, **other):
    """Pairs of inputs and outputs of one shape, beside an output of scores."""
    sides = dict.fromkeys(inputs, shape), {"scores": SCORES, **dict.fromkeys(outputs, shape)}
    sides[1].update(other)
    tensors = Tensors("net", *sides, dict.fromkeys([*sides[0], *sides[1]], "float32"))
    return find_memory(tensors, given or {}).pairs


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["h0", "c0"], ["hn", "cn"]),
        (["h", "c"], ["hn", "cn"]),
        (["state_in"], ["state_out"]),
        (["h"], ["add_3"]),
        (["serving_default_args_1:0", "serving_default_args_2:0"], ["Call:1", "Call:2"]),
        (["args_1", "args_2"], ["output_1_output", "output_2_output"]),
        (["onnx::LSTM_1", "onnx::LSTM_2"], ["71", "72"]),
        (["input_2", "input_3", "input_4"], ["Identity_1", "Identity_2", "Identity_3"]),
    ],
)
def test_pairs_that_names_numbers_or_shapes_tell(inputs, outputs):
    expected = dict(zip(inputs, outputs, strict=True))
    assert pairs(inputs, outputs) == expected
    assert pairs(inputs[::-1], outputs) == expected


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        (["h", "c"], ["getitem_1", "getitem_2"]),
        (["h"], ["features", "hidden"]),
        (["a_1", "b_2"], ["x_1", "x_2"]),
        (["a_1", "a_2"], ["x_1", "x_7"]),
        (["a_1", "a_1_1"], ["x_1", "x_2"]),
    ],
)
def test_what_may_go_either_way_is_asked_for(inputs, outputs):
    wanted = rf"of input '{inputs[0]}' .*--state {inputs[0]}=OUTPUT, of {', '.join(outputs)}"
    with pytest.raises(UsageError, match=wanted):
        pairs(inputs, outputs)
    given = {inputs[0]: outputs[1]}
    found = pairs(inputs, outputs, given)
    assert found[inputs[0]] == outputs[1]
    assert len(found) == len(inputs)


@pytest.mark.parametrize(
    ("inputs", "outputs", "shape"),
    [
        (["mask"], [], STATE),
        (["a", "b"], ["y"], STATE),
        (["threshold"], ["count"], (1,)),
    ],
    ids=["no output", "too few", "a single number"],
)
def test_inputs_that_cannot_be_memory_are_refused(inputs, outputs, shape):
    with pytest.raises(ModelError, match=f"not known what its input '{inputs[0]}' .* takes"):
        pairs(inputs, outputs, shape=shape)


def test_the_only_output_is_no_memory():
    tensors = Tensors("net", {"a": (1, 5)}, {"y": (1, 5)}, {"a": "float32", "y": "float32"})
    with pytest.raises(ModelError, match="not known what its input 'a'"):
        find_memory(tensors, {})


def test_outputs_of_another_type_are_no_next_value():
    tensors = Tensors(
        "net",
        {"h": STATE},
        {"y": SCORES, "z": STATE, "n": STATE},
        {"h": "float32", "y": "float32", "z": "int32", "n": "float32"},
    )
    assert find_memory(tensors, {}).pairs == {"h": "n"}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"hh": "n"}, "--state hh=n: net has no such input; it has h"),
        ({"h": "m"}, "--state h=m: net has no such output; it has scores, n"),
        ({"h": "scores"}, r"--state h=scores: net takes \(1, 1, 32\) there but gives \(1, 5\)"),
    ],
)
def test_a_flag_that_does_not_fit_is_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        pairs(["h"], ["n"], given)


class Stream(nn.Module):
    """A recurrent classifier, one step at a time."""

    def __init__(self, cell, width):
        super().__init__()
        self.cell = cell(width, 32, batch_first=True)
        self.scores = nn.Linear(32, 5)

    def forward(self, x, *state):
        y, state = self.cell(x, state if len(state) == 2 else state[0])
        state = state if isinstance(state, tuple) else (state,)
        return (self.scores(y[:, -1]), *state)


class Film(nn.Module):
    """The same over pictures, by a convolution."""

    def __init__(self, cell, width):
        super().__init__()
        self.look = nn.Conv2d(3, width, 5, 3)
        self.stream = Stream(cell, width)

    def forward(self, x, *state):
        return self.stream(self.look(x).relu().mean((2, 3))[:, None], *state)


@pytest.mark.parametrize(
    ("kind", "cell", "engine"),
    [
        (Stream, nn.LSTM, "tflite"),
        (Stream, nn.LSTM, "onnx"),
        (Stream, nn.GRU, "onnx"),
        (Film, nn.GRU, "tflite"),
        (Film, nn.GRU, "onnx"),
        (Film, nn.LSTM, "onnx"),
    ],
)
def test_a_stream_through_the_bundle_is_that_of_torch(tmp_path, kind, cell, engine):
    torch.manual_seed(0)
    net = kind(cell, 6).eval()
    # A converter unrolls what comes in one step, so that more takes longer.
    length = 1 if engine == "tflite" else 2
    first = torch.zeros(1, 3, 24, 24) if kind is Film else torch.zeros(1, length, 6)
    memory = [torch.zeros(STATE)] * (2 if cell is nn.LSTM else 1)
    path = tmp_path / f"net.{engine}"
    if engine == "onnx":
        torch.onnx.export(net, (first, *memory), str(path), dynamo=False)
    else:
        names = formats.Names(("x",), ("y",))
        examples = [tensor.numpy() for tensor in (first, *memory)]
        path.write_bytes(plugins.load(formats, "tflite").convert(net, examples, names, 18))
    wishes = Wishes(channels=AXES, rate=50.0)
    if kind is Film:
        # As single pictures that are remembered, or as video of a known rate.
        rate = 12.0 if engine == "onnx" else None
        wishes = Wishes(layout="classes", normalize="0..1", rate=rate)
    found = import_model(path, tmp_path / "net.edgenn", wishes)
    assert len([r for r in found.reasons if "memory, next is output" in r]) == len(memory)
    model = edgenn.load(tmp_path / "net.edgenn")
    assert model.manifest.rate == (wishes.rate or 0)
    rng = np.random.default_rng(0)
    if kind is Film:
        items = list(rng.integers(0, 256, (12, 24, 24, 3)).astype(np.uint8))
    else:
        assert model.manifest.input.stride == length
        items = list(rng.standard_normal((12, length, 6)).astype(np.float32))
    for _ in range(2):
        model.reset()
        state = memory
        for item in items:
            tensor = model.preprocess(item)[0]
            planar = tensor.transpose(0, 3, 1, 2) if model.variant.layout == "nhwc" else tensor
            with torch.no_grad():
                scores, *state = net(torch.from_numpy(planar.copy()), *state)
            got = model.infer(tensor)["logits"]
            np.testing.assert_allclose(got, scores.numpy(), atol=2e-6)
    assert verify(tmp_path / "net.edgenn")[0].status == "pass"


def test_a_net_that_remembers_takes_each_reading_once(tmp_path):
    args = (torch.zeros(1, 2, 6), torch.zeros(STATE))
    path = tmp_path / "net.onnx"
    torch.onnx.export(Stream(nn.GRU, 6).eval(), args, str(path), dynamo=False)
    with pytest.raises(UsageError, match=r"--stride 1: .* takes each reading once, 2 at a time"):
        describe(path, Wishes(channels=AXES, rate=50.0, stride=1))


def test_a_rate_is_for_nets_that_remember(tmp_path):
    path = tmp_path / "net.onnx"
    net = nn.Sequential(nn.Conv2d(3, 5, 8), nn.Flatten()).eval()
    torch.onnx.export(net, (torch.zeros(1, 3, 8, 8),), str(path), dynamo=False)
    with pytest.raises(UsageError, match="--rate 5 is for readings, and for classifiers that rem"):
        describe(path, Wishes(layout="classes", normalize="0..1", rate=5.0))


def test_the_command_takes_pairs(tmp_path):
    args = (torch.zeros(1, 1, 6), torch.zeros(STATE), torch.zeros(STATE))
    path, bundle = tmp_path / "net.onnx", tmp_path / "net.edgenn"
    names = {"input_names": ["x", "h", "c"], "output_names": ["y", "after", "cell"]}
    torch.onnx.export(Stream(nn.LSTM, 6).eval(), args, str(path), dynamo=False, **names)
    command = ["import", str(path), "--channels", ",".join(AXES), "--rate", "50", "-o", str(bundle)]

    def run(*flags):
        return CliRunner().invoke(cli, [*command, *flags])

    assert "--state h=OUTPUT, of after, cell" in str(run().exception)
    assert "--state takes INPUT=OUTPUT, not 'h'" in str(run("--state", "h").exception)
    # One is told, the other is left.
    shown = run("--state", "h=after").output
    assert "input 'h' (1, 1, 32): memory, next is output 'after', as asked for" in shown
    assert "input 'c' (1, 1, 32): memory, next is output 'cell', the only one" in shown
    assert len(edgenn.load(bundle).manifest.state) == 2
