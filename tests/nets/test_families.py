"""One contract for every family: a new file in edgenn/nets is tested without a new test."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

import pytest
import torch

from edgenn import nets, plugins
from edgenn.errors import UsageError
from edgenn.nets import NetSpec, anchorfree, dscnn, rnn
from edgenn.nets._mobilenet import STAGES, STEM, Backbone
from edgenn.ops import decode as decoders
from edgenn.ops.preprocess import Geometry
from edgenn.types import Classification, Detections

CASES = [(f, s) for f in plugins.names(nets) for s in plugins.load(nets, f).SIZES]
LABELS = ("a", "b", "c")


def make(family, size):
    module = plugins.load(nets, family)
    torch.manual_seed(0)
    if family == "videocrnn":
        spec = NetSpec(len(LABELS), size=(64, 96))
        x = torch.randn(2, 5, 3, 64, 96)
    elif module.TASK == "sequence":
        spec = NetSpec(len(LABELS), window=64, channels=6)
        x = torch.randn(2, 64, 6)
    else:
        spec = NetSpec(len(LABELS), size=(64, 96))
        x = torch.randn(2, 3, 64, 96)
    return module, module.build(module.SIZES[size], spec), spec, x


@pytest.mark.parametrize(("family", "size"), CASES)
def test_outputs_are_what_the_decoder_takes(family, size):
    module, net, spec, x = make(family, size)
    net.eval()
    with torch.inference_mode():
        given = net(x)
    outputs = given if isinstance(given, tuple) else (given,)
    assert len(outputs) == len(module.OUTPUTS)
    assert all(o.dtype == torch.float32 and o.shape[0] == 2 for o in outputs)
    decode = plugins.load(decoders, module.DECODER).build(
        module.decode_params(module.SIZES[size]), LABELS, spec.size
    )
    # Nets over time answer at every step.
    outputs = [o[:, -1] for o in outputs] if module.TASK == "sequence" else outputs
    arrays = {n: o[:1].numpy() for n, o in zip(module.OUTPUTS, outputs, strict=True)}
    prediction = decode(arrays, Geometry((64, 96), 1, 1) if spec.size else None)
    assert isinstance(prediction, Detections if module.TASK == "detect" else Classification)


@pytest.mark.parametrize(("family", "size"), CASES)
def test_config_is_frozen_numbers(family, size):
    config = plugins.load(nets, family).SIZES[size]
    assert is_dataclass(config)
    assert config.__dataclass_params__.frozen
    assert fields(config)


@pytest.mark.parametrize(("family", "size"), CASES)
def test_every_parameter_learns(family, size):
    """A layer that forward forgets would keep no gradient."""
    _, net, _, x = make(family, size)
    given = net.train()(x)
    outputs = given if isinstance(given, tuple) else (given,)
    sum(o.square().mean() for o in outputs).backward()
    idle = [n for n, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not idle


@pytest.mark.parametrize("family", plugins.names(nets))
def test_one_sample_of_a_batch_does_not_change_another(family):
    _, net, _, x = make(family, "n")
    net.eval()
    with torch.inference_mode():
        both, alone = net(x), net(x[1:])
    both, alone = (o if isinstance(o, tuple) else (o,) for o in (both, alone))
    for a, b in zip(both, alone, strict=True):
        torch.testing.assert_close(a[1:], b)


@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        (dscnn, {"n": 30e3, "s": 150e3, "m": 500e3}),
        (anchorfree, {"n": 0.3e6, "s": 1.1e6, "m": 3e6, "mbv2": 0.75e6, "mbv2l": 1.5e6}),
    ],
)
def test_sizes_are_as_large_as_they_say(module, sizes):
    for size, wanted in sizes.items():
        net = module.build(module.SIZES[size], NetSpec(3, size=(64, 64)))
        count = sum(p.numel() for p in net.parameters())
        assert wanted * 0.85 < count < wanted * 1.15, (size, count)


def test_detector_rows_follow_the_decoders_cells():
    """A spot of light moves the scores of the cells around it, on every level."""
    _, net, _, _ = make("anchorfree", "n")
    net.eval()
    dark = torch.zeros(1, 3, 64, 96)
    lit = dark.clone()
    lit[:, :, 44:52, 76:84] = 5.0
    with torch.inference_mode():
        change = (net(lit)[1] - net(dark)[1]).abs().sum(-1)[0]
    assert change.shape == (8 * 12 + 4 * 6 + 2 * 3,)
    row, column = divmod(int(change[:96].argmax()), 12)
    assert abs(row - 5.5) <= 1.5
    assert abs(column - 9.5) <= 1.5


def test_detector_distances_are_never_negative_and_start_alive():
    _, net, _, x = make("anchorfree", "n")
    with torch.inference_mode():
        boxes, scores = net.eval()(x)
    assert (boxes > 0).float().mean() > 0.99
    assert boxes.min() >= 0
    # The prior of rare positives.
    assert float(scores.sigmoid().mean()) == pytest.approx(0.01, abs=0.005)


def test_backbone_keeps_the_keys_of_imagenet_checkpoints():
    keys = Backbone(STEM, STAGES, last=1280).state_dict().keys()
    for key in (
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.1.conv.2.bias",
        "features.17.conv.2.weight",
        "features.18.1.num_batches_tracked",
    ):
        assert key in keys
    assert len(keys) == 312


def test_width_scales_channels_to_multiples_of_eight():
    backbone = Backbone(STEM, STAGES[:5], width=0.35)
    assert all(c % 8 == 0 for c in backbone.channels)
    assert backbone.channels[-1] == 32


def test_receptive_field_is_where_the_gradient_reaches():
    backbone = Backbone(8, ((1, 8, 1, 1), (2, 8, 2, 2), (2, 8, 1, 2))).double().eval()
    for p in backbone.parameters():
        torch.nn.init.constant_(p, 0.05)
    x = torch.full((1, 3, 160, 160), 0.1, dtype=torch.double, requires_grad=True)
    features = backbone(x)[-1]
    features[0, 0, 10, 10].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == backbone.receptive_fields()[8]


def test_cell_and_stack_are_options():
    spec = NetSpec(3, window=60, channels=2)
    net = rnn.build(rnn.Config(8, 8, cell="lstm", stack=5, pools=("mean",)), spec)
    assert any(isinstance(m, torch.nn.LSTM) for m in net.modules())
    assert net(torch.randn(1, 60, 2)).shape == (1, 12, 3)


@pytest.mark.parametrize(
    ("module", "spec", "says"),
    [
        (rnn, NetSpec(3, window=50, channels=2), "use one of 1, 2, 5, 10"),
        (rnn, NetSpec(3, size=(64, 64)), "use dscnn"),
        (dscnn, NetSpec(3, window=64, channels=2), "use rnn"),
        (anchorfree, NetSpec(3, size=(64, 70)), "multiples of 32"),
    ],
)
def test_unfit_data_is_refused_in_words(module, spec, says):
    with pytest.raises(UsageError, match=says):
        module.build(module.SIZES["n"], spec)


def test_backbone_without_the_heads_strides_is_refused():
    config = anchorfree.Config(16, ((1, 16, 1, 1), (4, 24, 1, 2)), neck=32)
    with pytest.raises(UsageError, match=r"strides \(2, 4\)"):
        anchorfree.build(config, NetSpec(1, size=(64, 64)))
