"""Streaming files of every family in both formats: step by step they give what torch gives at
once, after a reset too, and after a gap in the stream."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from edgenn import nets, plugins
from edgenn.bundle.manifest import Decode, Manifest, Provenance, Variant, WindowInput
from edgenn.export import formats
from edgenn.export.forms import form
from edgenn.export.gate import look
from edgenn.export.reference import Reference
from edgenn.nets import NetSpec, crnn, rnn, tcn
from edgenn.ops.preprocess import Normalize
from edgenn.recipe.schema import Recipe
from edgenn.runtime.model import Model
from edgenn.runtime.pipeline import Pipeline
from edgenn.types import Samples

LABELS = ("a", "b", "c", "none")
RATE = 50.0
SPEC = WindowInput(
    length=64,
    stride=32,
    rate=RATE,
    channels=("x", "y", "z"),
    steps=(Normalize((0.5, 0.0, -0.5), (1.0, 2.0, 1.0)),),
)
POOLS = ("last", "mean", "max")
CASES = {
    n: (plugins.load(nets, n), plugins.load(nets, n).SIZES["n"])
    for n in plugins.names(nets)
    if plugins.load(nets, n).TASK == "sequence" and n != "videocrnn"
} | {
    "lstm": (rnn, rnn.Config(12, 12, cell="lstm", layers=2, pools=POOLS, limit=9)),
    "crnn pools": (crnn, crnn.Config((8, 8), (2, 1), 12, cell="lstm", pools=POOLS)),
    "tcn pools": (tcn, tcn.Config(8, (1, 2, 4), stride=2, pools=POOLS, limit=11)),
}


def recordings(count, length=130):
    rng = np.random.default_rng(3)
    walk = rng.standard_normal((count, length, 3)).cumsum(1) * 0.3
    return walk.astype(np.float32)


@pytest.fixture(scope="module", params=CASES)
def exported(request):
    """A net and its manifest, and the streaming files by format and precision."""
    module, config = CASES[request.param]
    torch.manual_seed(1)
    net = module.build(config, NetSpec(len(LABELS), window=64, channels=3)).train()
    for _ in range(4):
        net(torch.from_numpy(recordings(8, 64)))
    net.eval().requires_grad_(False)
    recipe = Recipe.model_validate(
        {
            "name": "x",
            "task": "sequence",
            "data": {"format": "npz", "path": "x"},
            "net": {"family": request.param.split()[0] if " " in request.param else "rnn"},
        }
    )
    shape = form(net, SPEC, recipe)
    plain = Manifest(
        name="x",
        task="sequence",
        labels=LABELS,
        input=shape.input,
        outputs=("logits",),
        decode=Decode(name="classes"),
        state=shape.state,
        provenance=Provenance(edgenn="test"),
    )
    reference = Reference(net, plain)
    first = reference.prepare(recordings(1)[0]).copy()
    names = formats.Names(
        ("window", *(s.input for s in shape.state)), ("logits", *(s.output for s in shape.state))
    )
    files = {}
    for name in plugins.names(formats):
        kind = plugins.load(formats, name)
        data = kind.convert(shape.net, shape.examples(first), names, 18)
        small = kind.int8(data, [], recurrent=True, method="minmax")
        for precision, content in (("fp32", data), ("int8", small)):
            variant = Variant(
                file=f"model.{precision}.{name}",
                engine=kind.ENGINE,
                precision=precision,
                layout=kind.LAYOUT,
                tensors=kind.tensors(content, names),
            )
            files[name, precision] = variant, content
    return reference, plain, files


def models(exported, precision):
    _, plain, files = exported
    return {
        name: Model(plain, *files[name, precision], threads=1) for name in plugins.names(formats)
    }


def test_steps_give_what_the_whole_gives(exported):
    reference = exported[0]
    for name, model in models(exported, "fp32").items():
        for values in recordings(3):
            wanted, got = reference.predict(values), look(model, values, [])
            assert np.array_equal(got.ends, wanted.ends), name
            np.testing.assert_allclose(got.scores, wanted.scores, atol=1e-4)
            assert np.array_equal(got.scores.argmax(1), wanted.scores.argmax(1))


def test_int8_steps_stay_near_over_a_long_stream(exported):
    reference = exported[0]
    (values,) = recordings(1, 4000)
    # No walk away: a sensor stays within its range.
    values = np.sin(values).astype(np.float32)
    wanted = reference.predict(values).scores
    for model in models(exported, "int8").values():
        got = look(model, values, []).scores
        error = np.abs(got - wanted).max(1)
        assert error.max() < 0.2
        assert error[-200:].mean() < 2 * error[:200].mean() + 0.01


def test_after_a_reset_nothing_of_before_remains(exported):
    one, other = recordings(2)
    for model in models(exported, "fp32").values():
        first = look(model, one, []).scores
        look(model, other, [])
        assert np.array_equal(look(model, one, []).scores, first)


def test_a_gap_in_the_stream_is_a_new_beginning(exported):
    one, other = recordings(2, 96)
    for name, model in models(exported, "fp32").items():
        times = np.arange(96) / RATE
        stream = [Samples(one, times, "s"), Samples(other, times + 60, "s")]
        given = np.stack([r.prediction.scores for r in Pipeline(stream, model)])
        alone = [look(model, values, []).scores for values in (one, other)]
        np.testing.assert_array_equal(given, np.concatenate(alone), err_msg=name)


def test_predictions_do_not_depend_on_how_the_stream_is_cut(exported):
    (values,) = recordings(1)
    times = np.arange(len(values)) / RATE
    model = models(exported, "fp32")["onnx"]
    cuts = ([len(values)], [1] * len(values), [7, 50, 3, 70])
    given = []
    for cut in cuts:
        edges = np.cumsum([0, *cut])
        parts = [Samples(values[a:b], times[a:b], "s") for a, b in itertools.pairwise(edges)]
        given.append(np.stack([r.prediction.scores for r in Pipeline(parts, model)]))
    assert np.array_equal(given[0], given[1])
    assert np.array_equal(given[0], given[2])
