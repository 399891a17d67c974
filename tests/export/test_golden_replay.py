"""Golden samples, replayed by the device side through real files in both formats."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from edgenn import plugins
from edgenn.bundle.manifest import Decode, Golden, ImageInput, Manifest, Provenance, Variant
from edgenn.bundle.store import write_bundle
from edgenn.errors import BundleError, UsageError
from edgenn.export import formats, golden
from edgenn.export.reference import Reference
from edgenn.ops.preprocess import Letterbox, Normalize
from edgenn.runtime.golden import agreement, compare, pack, unpack, verify
from edgenn.runtime.model import Model
from edgenn.types import Classification, Detections

NAMES = formats.Names(("image",), ("logits",))
STEPS = (Letterbox((32, 32)), Normalize((0.0,), (255.0,)))


class Colours(nn.Module):
    """Says which colour channel of an RGB picture is the strongest."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        features = torch.relu(self.conv(x)).mean((2, 3))
        return self.head(features) + 9 * x.mean((2, 3))


def hashed(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


@pytest.fixture(scope="module")
def made():
    """Manifest without variants, model files by name, golden samples."""
    manifest = Manifest(
        name="colours",
        task="classify",
        labels=("red", "green", "blue"),
        input=ImageInput(size=(32, 32), steps=STEPS),
        outputs=("logits",),
        decode=Decode(name="classes"),
        provenance=Provenance(edgenn="test"),
    )
    reference = Reference(Colours().eval(), manifest)
    rng = np.random.default_rng(0)
    raws = []
    for channel in (2, 1, 0, 2):  # BGR: red, green, blue, red
        picture = rng.integers(0, 120, (50, 70, 3), np.uint8)
        picture[:, :, channel] += 100
        raws.append(picture)
    samples = golden.compute(raws, manifest.input, reference.outputs)
    example = reference.prepare(raws[0]).copy()
    files = {}
    for name in plugins.names(formats):
        form = plugins.load(formats, name)
        plain = form.convert(Colours().eval(), [example], NAMES, 18)
        inputs = [reference.prepare(raw).copy() for raw in raws]
        if form.LAYOUT == "nhwc":
            inputs = [np.ascontiguousarray(x.transpose(0, 2, 3, 1)) for x in inputs]
        int8 = form.int8(plain, inputs, recurrent=False, method="minmax")
        for precision, data in (("fp32", plain), ("int8", int8)):
            variant = Variant(
                file=f"model.{precision}.{name}",
                engine=form.ENGINE,
                precision=precision,
                layout=form.LAYOUT,
                tensors=form.tensors(data, NAMES),
                **hashed(data),
            )
            worst, agreed, _ = compare(Model(manifest, variant, data), samples)
            bound = golden.tolerance(variant, worst, agreed, samples)
            files[variant.file] = variant.model_copy(update={"tolerance": bound}), data
    return manifest, files, samples


def bundle(made, path, swap=(), steps=None):
    """Write the bundle; ``swap`` puts the content of the second file under the first's name."""
    manifest, files, samples = made
    chosen = dict(files)
    if swap:
        variant, _ = files[swap[0]]
        data = files[swap[1]][1] if swap[1] in files else swap[1]
        chosen[swap[0]] = variant.model_copy(update=hashed(data)), data
    packed = pack(samples)
    update = {
        "variants": tuple(v for v, _ in chosen.values()),
        "golden": Golden(count=len(samples), **hashed(packed)),
    }
    if steps:
        update["input"] = manifest.input.model_copy(update={"steps": steps})
    contents = {name: data for name, (_, data) in chosen.items()}
    write_bundle(manifest.model_copy(update=update), {**contents, "golden.npz": packed}, path)
    return path


def test_every_variant_passes_on_the_machine_that_exported(made, tmp_path):
    checks = verify(bundle(made, tmp_path / "c.edgenn"))
    assert [c.status for c in checks] == ["pass"] * 4
    assert {c.agreement for c in checks} == {1.0}
    assert all(c.max_abs["logits"] < 1e-4 for c in checks if c.variant.precision == "fp32")


def test_filters_choose_variants(made, tmp_path):
    path = bundle(made, tmp_path / "c.edgenn")
    checks = verify(path, engine="litert", precision="int8")
    assert [c.variant.file for c in checks] == ["model.int8.tflite"]
    with pytest.raises(UsageError, match="no variant of that engine and precision"):
        verify(path, precision="fp16")


def test_other_weights_fail_and_the_tensor_is_named(made, tmp_path):
    torch.manual_seed(7)
    other = Colours().eval()
    with torch.no_grad():
        other.head.weight.mul_(1.5)
    form = plugins.load(formats, "onnx")
    data = form.convert(other, [np.zeros((1, 3, 32, 32), np.float32)], NAMES, 18)
    path = bundle(made, tmp_path / "c.edgenn", swap=("model.fp32.onnx", data))
    checks = {c.variant.file: c for c in verify(path)}
    assert checks["model.fp32.onnx"].status == "fail"
    assert "tensor 'logits' differs by" in checks["model.fp32.onnx"].reason
    assert checks["model.fp32.tflite"].status == "pass"


def test_other_preprocessing_fails(made, tmp_path):
    steps = (Letterbox((32, 32), align="start"), STEPS[1])
    checks = verify(bundle(made, tmp_path / "c.edgenn", steps=steps))
    assert all(c.status == "fail" and "preprocessing is off by" in c.reason for c in checks)


def test_samples_survive_packing(made):
    manifest, _, samples = made
    packed = pack(samples)
    manifest = manifest.model_copy(update={"golden": Golden(count=4, **hashed(packed))})
    for before, after in zip(samples, unpack(packed, manifest, "test"), strict=True):
        assert np.array_equal(before.raw, after.raw)
        assert np.array_equal(before.placed, after.placed)
        assert np.array_equal(before.outputs["logits"], after.outputs["logits"])
    with pytest.raises(BundleError, match="cannot be read"):
        unpack(packed[:-100], manifest, "test")


def test_command_says_pass_and_fail(made, tmp_path):
    good = bundle(made, tmp_path / "good.edgenn")
    # Two formats with their files exchanged: what a mixed-up deployment looks like.
    bad = bundle(made, tmp_path / "bad.edgenn", swap=("model.int8.onnx", "model.int8.tflite"))

    def run(*args):
        return subprocess.run(
            [sys.executable, "-m", "edgenn", "verify", *args],
            capture_output=True,
            text=True,
            check=False,
        )

    passed = run(str(good), "--json")
    assert passed.returncode == 0, passed.stderr
    assert {c["status"] for c in json.loads(passed.stdout)} == {"pass"}
    failed = run(str(bad))
    assert failed.returncode == 9
    assert "Traceback" not in failed.stderr
    assert "model.int8.onnx" in failed.stderr


def test_agreement_counts_matched_boxes():
    def found(*boxes):
        array = np.array(boxes, np.float32).reshape(-1, 4)
        return Detections(array, np.ones(len(array), np.float32), np.zeros(len(array), np.int64))

    one, far = (0, 0, 10, 10), (50, 50, 60, 60)
    assert agreement(found(), found()) == 1
    assert agreement(found(one), found()) == 0
    assert agreement(found(one), found((1, 0, 11, 10))) == 1
    assert agreement(found(one, far), found(one)) == pytest.approx(2 / 3)
    # Two boxes may not both claim the same one.
    assert agreement(found(one, one), found(one)) == pytest.approx(2 / 3)
    labels = ("a", "b")
    a, b = (Classification(np.array(s, np.float32), labels) for s in ((0.9, 0.1), (0.2, 0.8)))
    assert agreement(a, a) == 1
    assert agreement(a, b) == 0
