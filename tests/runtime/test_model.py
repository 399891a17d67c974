from __future__ import annotations

import shutil
import zipfile

import numpy as np
import pytest

import edgenn
from edgenn.bundle.store import open_bundle
from edgenn.errors import MissingExtraError, ModelError, UsageError
from edgenn.runtime import files
from edgenn.runtime.engines import litert
from edgenn.types import Classification, Detections, Frame, Window

VARIANTS = [(e, p) for e in files.installed() for p in ("fp32", "int8")]
SCENE = np.full((96, 128, 3), 20, np.uint8)
SCENE[16:32, 16:32] = (0, 0, 255)
SCENE[48:64, 80:96] = (255, 0, 0)


@pytest.mark.parametrize(("engine", "precision"), VARIANTS)
def test_every_variant_finds_the_squares_where_they_are(tiny, engine, precision):
    model = edgenn.load(tiny / "tiny-detect.edgenn", engine=engine, precision=precision)
    found = model.predict(SCENE)
    assert isinstance(found, Detections)
    by_name = {found.name(i): found.boxes[i] for i in range(len(found))}
    assert by_name.keys() == {"red", "blue"}
    assert by_name["red"] == pytest.approx([16, 16, 32, 32], abs=0.2)
    assert by_name["blue"] == pytest.approx([80, 48, 96, 64], abs=0.2)


@pytest.mark.parametrize(("engine", "precision"), VARIANTS)
def test_every_variant_hears_high_readings(tiny, engine, precision):
    model = edgenn.load(tiny / "tiny-sequence.edgenn", engine=engine, precision=precision)
    values = np.tile(np.array([3, 0], np.float32), (20, 1))
    for item in (values, Window(values, 0, 1), values.astype(np.float64)):
        found = model.predict(item)
        assert isinstance(found, Classification)
        assert found.label == "high"
        assert found.scores.sum() == pytest.approx(1)
    assert set(model.latency_ms) == {"preprocess", "inference", "decode"}


def test_a_frame_and_its_picture_give_the_same(tiny):
    model = edgenn.load(tiny / "tiny-detect.edgenn")
    assert np.array_equal(model.predict(SCENE).boxes, model.predict(Frame(SCENE, 0, 0)).boxes)


@pytest.mark.parametrize(
    "item",
    [
        np.zeros((96, 128), np.uint8),
        np.zeros((96, 128, 4), np.uint8),
        np.zeros((96, 128, 3), np.float32),
        np.zeros((0, 128, 3), np.uint8),
    ],
)
def test_what_is_no_bgr_picture_is_refused(tiny, item):
    with pytest.raises(ModelError, match=r"must be \(height, width, 3\) uint8 in BGR order"):
        edgenn.load(tiny / "tiny-detect.edgenn").predict(item)


@pytest.mark.parametrize("shape", [(19, 2), (20, 3), (20,), (1, 20, 2)])
def test_windows_of_another_size_are_refused(tiny, shape):
    with pytest.raises(ModelError, match="windows of 20 readings x 2 channels"):
        edgenn.load(tiny / "tiny-sequence.edgenn").predict(np.zeros(shape, np.float32))


def test_thresholds_can_be_set_for_detectors_alone(tiny):
    path = tiny / "tiny-detect.edgenn"
    dim = (SCENE.astype(np.float32) * 0.6).astype(np.uint8)
    assert len(edgenn.load(path, conf=0.9).predict(dim)) == 0
    assert len(edgenn.load(path, conf=0.5).predict(dim)) == 2
    with pytest.raises(UsageError, match="--conf must lie between 0 and 1, not 2"):
        edgenn.load(path, conf=2)
    with pytest.raises(UsageError, match="--iou is for detectors; tiny-classify is a classify"):
        edgenn.load(tiny / "tiny-classify.edgenn", iou=0.5)


def test_a_folder_works_like_the_file(tiny, tmp_path):
    with zipfile.ZipFile(tiny / "tiny-detect.edgenn") as archive:
        archive.extractall(tmp_path / "folder")
    assert len(edgenn.load(tmp_path / "folder").predict(SCENE)) == 2


@pytest.mark.parametrize(("engine", "precision"), VARIANTS)
def test_a_bare_file_knows_its_labels(tiny, tmp_path, engine, precision):
    suffix = {"onnx": "onnx", "litert": "tflite"}[engine]
    path = tmp_path / f"renamed.{suffix}"
    path.write_bytes(open_bundle(tiny / "tiny-detect.edgenn").read(f"model.{precision}.{suffix}"))
    model = edgenn.load(path)
    assert model.labels == ("red", "blue")
    assert len(model.predict(SCENE)) == 2
    other = "litert" if engine == "onnx" else "onnx"
    with pytest.raises(UsageError, match=f"runs on the {engine} engine, not on {other}"):
        edgenn.load(path, engine=other)
    with pytest.raises(UsageError, match=f"is {precision}, not fp16"):
        edgenn.load(path, precision="fp16")


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_a_bare_file_that_is_damaged_is_named(tiny, tmp_path, suffix):
    data = open_bundle(tiny / "tiny-detect.edgenn").read(f"model.fp32.{suffix}")
    path = tmp_path / f"bad.{suffix}"
    # The end holds the manifest, the middle the weights and the graph.
    for broken in (data[: len(data) // 2], b"\x08\x07" + data[:100], data[1000:]):
        path.write_bytes(broken)
        with pytest.raises(ModelError, match=rf"(bad|model\.fp32)\.{suffix}"):
            edgenn.load(path)


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_a_model_file_of_somebody_else(tiny, tmp_path, suffix):
    data = open_bundle(tiny / "tiny-detect.edgenn").read(f"model.fp32.{suffix}")
    path = tmp_path / f"other.{suffix}"
    path.write_bytes(data.replace(b"edgenn.manifest", b"edgenx.manifest"))
    with pytest.raises((ModelError, UsageError), match=rf"other\.{suffix}"):
        edgenn.load(path)


def test_a_manifest_for_another_engine(tiny, tmp_path):
    data = open_bundle(tiny / "tiny-detect.edgenn").read("model.fp32.onnx")
    # As long as before, or the file around it would be damaged.
    changed = data.replace(b'   "engine": "onnx"', b' "engine": "litert"')
    path = tmp_path / "m.onnx"
    path.write_bytes(changed)
    with pytest.raises(ModelError, match="embedded manifest does not describe this file"):
        edgenn.load(path)


def test_a_manifest_in_tflite_that_was_changed_or_is_too_large(tiny, tmp_path):
    data = open_bundle(tiny / "tiny-detect.edgenn").read("model.fp32.tflite")
    path = tmp_path / "m.tflite"
    path.write_bytes(data.replace(b"ltrb", b"lbtr"))
    with pytest.raises(ModelError, match=r"m\.tflite: the manifest in it is damaged"):
        edgenn.load(path)
    entry = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: entry + 20] + b"\xf0\xff\xff\xff" * 2 + data[entry + 28 :])
    with pytest.raises(ModelError, match=r"m\.tflite: the manifest in it is too large"):
        edgenn.load(path)


def test_tensors_that_are_not_those_of_the_manifest(tiny):
    bundle = open_bundle(tiny / "tiny-detect.edgenn")
    variant = bundle.manifest.variants[0]
    renamed = variant.model_copy(update={"tensors": {**variant.tensors, "boxes": "boxen"}})
    with pytest.raises(ModelError, match="are not those of its manifest"):
        edgenn.Model(bundle.manifest, renamed, bundle.read(variant.file))


def test_int8_and_the_base_engine_come_first(tiny):
    variant = edgenn.load(tiny / "tiny-detect.edgenn").variant
    assert (variant.engine, variant.precision) == ("litert", "int8")


def test_what_the_old_runtime_computes_wrongly_comes_last_and_is_said(monkeypatch, caplog):
    """tflite-runtime takes the first of several scales of a dense layer, and says nothing."""
    assert edgenn.load("watch").variant.file == "model.int8.tflite"
    assert "one scale" not in caplog.text
    is_here = files._is_here
    monkeypatch.setattr(
        files,
        "_is_here",
        lambda name: name == "tflite_runtime" or (name != "ai_edge_litert" and is_here(name)),
    )
    monkeypatch.setattr(litert, "_IS_OLD", True)
    assert edgenn.load("watch", engine="litert").variant.file == "model.fp32.tflite"
    assert edgenn.load("person").variant.file == "model.int8.tflite"  # it has no dense layers
    assert "one scale" not in caplog.text
    edgenn.load("sign-digits", engine="litert")  # which has no other file for it
    assert "one scale for all channels" in caplog.text


def test_a_variant_that_is_not_there(tiny):
    with pytest.raises(UsageError, match="has no fp16 variant; it has onnx fp32, onnx int8"):
        edgenn.load(tiny / "tiny-detect.edgenn", precision="fp16")


def test_an_engine_that_is_not_installed(tiny, monkeypatch):
    monkeypatch.setattr(files, "installed", lambda: ["onnx"])
    with pytest.raises(MissingExtraError, match=r"pip install 'edgenn\[litert\]'"):
        edgenn.load(tiny / "tiny-detect.edgenn", engine="litert")


def test_built_in_models_go_by_name(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "builtin_dir", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "squares").mkdir()
    shutil.copy(tiny / "tiny-detect.edgenn", tmp_path / "squares" / "squares.edgenn")
    # A folder of that name in the current one is no model, and must not hide the built-in one.
    assert edgenn.load("squares").manifest.name == "tiny-detect"
    with pytest.raises(ModelError, match=r"no model at circles; .* built-in model: squares"):
        edgenn.load("circles")
