"""The whole line, as a user types it: train, export in float and int8, verify, info, run."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

import edgenn
from edgenn.bundle.store import hashes, open_bundle
from edgenn.runtime.golden import unpack


def type_in(*arguments, cwd, code=0):
    """Run the command as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "edgenn", *map(str, arguments)],
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module", params=["detect", "classify", "sequence"])
def line(request, tmp_path_factory, make_recipe):
    """Folder with the recipe, the run and the exported bundle of one task."""
    task = request.param
    folder = tmp_path_factory.mktemp(task)
    name = {"detect": "boxes_data", "classify": "shapes_data", "sequence": "waves_data"}[task]
    epochs = {"detect": 15, "classify": 10, "sequence": 6}[task]
    recipe = make_recipe(task, request.getfixturevalue(name), epochs=epochs, eval_every=5)
    document = recipe.model_dump(mode="json")
    document["export"]["max_drop"] = 0.1
    document["export"]["calibration"]["samples"] = 24
    (folder / "recipe.yaml").write_text(yaml.safe_dump(document))
    type_in("train", "recipe.yaml", "--name", "line", cwd=folder)
    done = type_in("export", "runs/line", "--int8", "--half", "--out", "line.edgenn", cwd=folder)
    return task, folder, done.stdout


FILES = [f"model.{p}.{f}" for f in ("onnx", "tflite") for p in ("fp32", "fp16", "int8")]


def test_export_prints_a_row_for_every_variant(line):
    _, _, table = line
    for file in FILES:
        (row,) = [text for text in table.splitlines() if text.startswith(file)]
        assert row.endswith("pass")
    assert "trained network" in table


def test_bundle_holds_everything_that_a_device_needs(line):
    task, folder, _ = line
    bundle = open_bundle(folder / "line.edgenn")
    bundle.check()
    manifest = bundle.manifest
    assert manifest.task == task
    assert [v.file for v in manifest.variants] == FILES
    with zipfile.ZipFile(folder / "line.edgenn") as archive:
        names = set(archive.namelist())
        page = archive.read("report.html").decode()
        card = archive.read("card.md").decode()
        numbers = json.loads(archive.read("metrics.json"))
    assert names == {
        "manifest.json",
        "golden.npz",
        "report.html",
        "card.md",
        "metrics.json",
        *FILES,
    }
    assert set(hashes(manifest)) == names - {"manifest.json"}
    assert all(file in page and file in card for file in FILES)
    fp32 = numbers["variants"]["model.fp32.onnx"]
    assert fp32["main"] == pytest.approx(numbers["trained"]["main"], abs=0.02)
    assert max(fp32["max_abs"].values()) < 1e-3


def test_golden_samples_show_something(line):
    task, folder, _ = line
    bundle = open_bundle(folder / "line.edgenn")
    model = edgenn.load(folder / "line.edgenn", precision="fp32")
    samples = unpack(bundle.read("golden.npz"), bundle.manifest, "line")
    assert len(samples) == 4
    if task == "detect":
        assert all(len(model.predict(sample.raw)) for sample in samples)


def test_verify_passes_and_info_says_what_it_is(line):
    task, folder, _ = line
    checks = json.loads(type_in("verify", "line.edgenn", "--json", cwd=folder).stdout)
    assert [c["status"] for c in checks] == ["pass"] * 6
    told = type_in("info", "line.edgenn", cwd=folder).stdout
    assert task in told
    assert "model.int8.tflite" in told


def test_bare_files_know_their_manifest(line):
    task, folder, _ = line
    with zipfile.ZipFile(folder / "line.edgenn") as archive:
        for name in ("model.int8.onnx", "model.int8.tflite"):
            (folder / name).write_bytes(archive.read(name))
            told = json.loads(type_in("info", name, "--json", cwd=folder).stdout)
            assert told["task"] == task
            assert [v["file"] for v in told["variants"]] == [name]
            assert edgenn.load(folder / name).variant.precision == "int8"


def test_run_gives_decisions(line, request):
    task, folder, _ = line
    if task == "sequence":
        with np.load(request.getfixturevalue("waves_data")) as data:
            slow = data["values"][data["y"] == 0].reshape(-1, 2)
        lines = [f"{i / 50},{a},{b}" for i, (a, b) in enumerate(slow)]
        (folder / "r.csv").write_text("time,c0,c1\n" + "\n".join(lines))
        source = ("--sensor", "r.csv")
    else:
        data = request.getfixturevalue("boxes_data" if task == "detect" else "shapes_data")
        source = ("--source", data / ("images/val" if task == "detect" else "square"))
    for engine in ("onnx", "litert"):
        out = folder / f"{engine}.jsonl"
        type_in("run", "line.edgenn", *source, "--engine", engine, "--out", out, cwd=folder)
        results = [json.loads(text) for text in out.read_text().splitlines()]
        if task == "detect":
            assert sum(len(r["detections"]) for r in results) >= len(results) / 2
        else:
            wanted = "square" if task == "classify" else "slow"
            right = [r["labels"][0]["label"] == wanted for r in results]
            assert np.mean(right) > 0.8


def test_api_predicts(line, request):
    task, folder, _ = line
    model = edgenn.load(folder / "line.edgenn")
    if task == "sequence":
        still = np.zeros((64, 2), np.float32)
        said = [prediction.label for _, prediction in model.follow(still)]
        assert len(said) == 64 // model.manifest.input.length
        assert said[-1] == "still"
        return
    data: Path = request.getfixturevalue("boxes_data" if task == "detect" else "shapes_data")
    folders = ["images/val"] if task == "detect" else ["square", "disc", "triangle"]
    pictures = [p for name in folders for p in sorted((data / name).glob("*.png"))[:20]]
    predictions = [model.predict(cv2.imread(str(picture))) for picture in pictures]
    if task == "detect":
        names = {p.name(i) for p in predictions for i in range(len(p))}
        assert names == {"square", "disc"}
    else:
        right = [p.label == f.parent.name for p, f in zip(predictions, pictures, strict=True)]
        # Trained for ten epochs, it errs now and then.
        assert sum(right) / len(right) > 0.7


def test_eval_gives_the_figures_of_the_export(line):
    _, folder, _ = line
    manifest = open_bundle(folder / "line.edgenn").manifest
    for variant in manifest.variants:
        if variant.precision == "fp16":
            continue
        told = ("--engine", variant.engine, "--precision", variant.precision)
        done = type_in(
            "eval", "line.edgenn", "--data", "recipe.yaml", "--out", "eval", *told, cwd=folder
        )
        numbers = json.loads((folder / "eval" / "eval.json").read_text())
        assert numbers["file"] == variant.file
        name = numbers["metric"]
        assert numbers[name] == pytest.approx(variant.metrics[name], abs=1e-5)
        assert f"{numbers[name]:.4f}" in done.stdout


def test_eval_draws_pictures_and_stores_thresholds_that_help(line):
    task, folder, _ = line
    copy = folder / "own.edgenn"
    copy.write_bytes((folder / "line.edgenn").read_bytes())
    more = ["--out", "drawn", "--write-conf"]
    done = type_in(
        "eval", copy, "--data", "recipe.yaml", *more, cwd=folder, code=0 if task == "detect" else 2
    )
    if task != "detect":
        assert "--write-conf is for detectors" in done.stderr
        type_in("eval", copy, "--data", "recipe.yaml", "--out", "drawn", cwd=folder)
        assert cv2.imread(str(folder / "drawn" / "confusion.png")) is not None
        return
    for name in ("pr.png", "worst.png"):
        assert cv2.imread(str(folder / "drawn" / name)) is not None
    numbers = json.loads((folder / "drawn" / "eval.json").read_text())
    stored = open_bundle(copy).manifest.decode.params["class_conf"]
    assert stored == {
        name: pytest.approx(c["suggested_conf"], abs=1e-4) for name, c in numbers["classes"].items()
    }
    type_in("verify", copy, cwd=folder)

    data = Path(yaml.safe_load((folder / "recipe.yaml").read_text())["data"]["path"])
    again = type_in("eval", copy, "--data", data, "--out", "again", cwd=folder)
    assert "24 of 144 samples: those for validation" in again.stderr
    repeated = json.loads((folder / "again" / "eval.json").read_text())
    del repeated["latency_ms"], numbers["latency_ms"]
    assert repeated == numbers

    picture = cv2.imread(str(sorted((data / "images" / "val").iterdir())[0]))
    assert len(edgenn.load(copy, conf=1.0).predict(picture)) == 0
    assert len(edgenn.load(copy, conf=0.0).predict(picture)) > len(
        edgenn.load(copy).predict(picture)
    )


def test_eval_says_what_is_wrong_with_the_data(tiny, tmp_path):
    model = tiny / "tiny-detect.edgenn"
    done = type_in("eval", model, "--data", "nowhere", cwd=tmp_path, code=5)
    assert "there is no data at nowhere" in done.stderr
    assert not list(tmp_path.iterdir())


def test_eval_refuses_data_of_another_kind(line, tiny, pictures, tmp_path):
    (tmp_path / "classes" / "a").mkdir(parents=True)
    for picture in pictures.iterdir():
        picture.rename(tmp_path / "classes" / "a" / picture.name)
    model = tiny / "tiny-detect.edgenn"
    done = type_in("eval", model, "--data", "classes", cwd=tmp_path, code=5)
    assert "task detect reads data.format yolo or coco or voc" in done.stderr
    task, folder, _ = line
    done = type_in("eval", model, "--data", folder / "recipe.yaml", cwd=tmp_path, code=5)
    said = "the recipe's data has the classes" if task == "detect" else f"recipe is for {task}"
    assert said in done.stderr
