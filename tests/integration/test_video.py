"""Gestures in video, from clips to labels on a device: trained, exported, verified, run."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from edgenn.data import quiet
from edgenn.data.feed import Feed
from edgenn.data.load import load_dataset
from edgenn.errors import UsageError
from edgenn.export import streams, tune
from edgenn.export.examine import examine, samples_of
from edgenn.export.flow import Options, export
from edgenn.ops.pace import pick
from edgenn.recipe.schema import Recipe
from edgenn.runtime.files import find
from edgenn.runtime.golden import verify
from edgenn.runtime.model import load
from edgenn.runtime.pipeline import Pipeline
from edgenn.train.loop import train
from edgenn.train.run import load_run
from edgenn.train.setup import Job
from edgenn.types import Frame

FPS, RATE, SIZE = 20.0, 10.0, (48, 64)
VARIANTS = [("onnx", "fp32"), ("litert", "fp32"), ("onnx", "int8"), ("litert", "int8")]


def gesture(label, seed, frames=24, size=SIZE):
    """(T, H, W, 3): a bright square that goes left or right over a dark, noisy ground."""
    rng = np.random.default_rng(seed)
    height, width = size
    side = height // 4
    top = int(rng.integers(0, height - side))
    places = np.linspace(0, width - side, frames).astype(int)
    film = rng.integers(0, 40, (frames, *size, 3)).astype(np.uint8)
    for frame, left in zip(film, places if label == "right" else places[::-1], strict=True):
        frame[top : top + side, left : left + side] = (200, 220, 240)
    return film


def write(path, film, *, grey=False, fps=FPS):
    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), codec, fps, film.shape[2:0:-1], not grey)
    for frame in film:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY) if grey else frame)
    writer.release()
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder with the data, the run and the exported bundle."""
    folder = tmp_path_factory.mktemp("video")
    for i in range(48):
        label = ("left", "right")[i % 2]
        write(folder / "data" / label / f"p{i // 2 % 6}_{i}.avi", gesture(label, i))
    recipe = Recipe.model_validate(
        {
            "name": "sides",
            "task": "sequence",
            "data": {
                "format": "clips",
                "path": str(folder / "data"),
                "rate": RATE,
                "split": {"group": r"(p\d)_", "val": ["p4", "p5"]},
            },
            "input": {"sample": "clip", "imgsz": [32, 48]},
            "net": {
                "family": "videocrnn",
                "size": "n",
                "options": {"stem": 8, "stages": [[1, 16, 1, 2]], "embed": 16, "hidden": 16},
            },
            "augment": {"swap": [["left", "right"]], "speed": [0.8, 1.25], "hsv": [0, 0, 0.1]},
            "train": {"epochs": 14, "batch": 8, "lr": 0.01, "workers": 0, "ema": 0.9},
            "export": {"max_drop": 0.2, "golden": {"count": 2}},
        }
    )
    run = load_run(train(Job(recipe, folder / "runs")).folder)
    dataset = load_dataset(recipe)
    outcome = export(run, dataset, folder / "sides.edgenn", Options(int8=True), quiet)
    return folder, run, dataset, outcome


def test_it_learns_and_every_variant_passes_the_gate(made):
    *_, outcome = made
    assert outcome.reference.main > 0.9
    assert len(outcome.scores) == 4
    assert not outcome.failed


def test_the_manifest_says_what_is_taken_and_remembered(made):
    manifest = find(made[0] / "sides.edgenn")[0]
    assert manifest.input.kind == "image"
    assert manifest.input.rate == RATE
    # The last frame of the motion path, the state, and the mean with its count.
    assert [state.shape for state in manifest.state] == [
        (1, 1, 32, 48),
        (1, 1, 16),
        (1, 16),
        (1, 1),
    ]


@pytest.mark.parametrize(("engine", "precision"), VARIANTS)
def test_what_streams_is_what_the_trained_net_says_of_the_clip(made, engine, precision):
    folder, run, dataset, _ = made
    feed = Feed(dataset.val, run.recipe, run.input, train=False, keep=False)
    model = load(folder / "sides.edgenn", engine=engine, precision=precision, threads=1)
    bound = 1e-4 if precision == "fp32" else 0.2
    for i in range(3):
        with torch.inference_mode():
            wanted = run.net(torch.from_numpy(feed[i].x[None])).softmax(2)[0].numpy()
        for _ in range(2):  # follow() resets, so the second time gives the same
            got = np.stack([said.scores for _, said in model.follow(feed.raw(i))])
            assert np.abs(got - wanted).max() < bound
        if precision == "fp32":
            assert (got.argmax(1) == wanted.argmax(1)).all()


def test_golden_clips_verify(made):
    checks = verify(made[0] / "sides.edgenn", threads=1)
    assert [check.status for check in checks] == ["pass"] * 4


def seen(made, source, **options):
    """Results of a run, without the temporal stages."""
    manifest, variant, data = find(made[0] / "sides.edgenn", "litert", "fp32")
    model = type(load(made[0] / "sides.edgenn"))(
        manifest.model_copy(update={"temporal": {}}), variant, data, threads=1
    )
    pipeline = Pipeline(source, model, **options)
    return list(pipeline), pipeline.health


def test_a_video_is_seen_at_the_rate_of_the_net(made, tmp_path):
    film = gesture("left", 99)
    results, health = seen(made, write(tmp_path / "a.avi", film))
    assert [r.item.index for r in results] == list(range(0, 24, 2))
    assert results[-1].prediction.label == "left"
    assert health.frames == 12
    # Another time, the same to the bit.
    again, _ = seen(made, tmp_path / "a.avi")
    for a, b in zip(results, again, strict=True):
        assert a.prediction.scores.tobytes() == b.prediction.scores.tobytes()


@pytest.mark.parametrize("label", ["left", "right"])
def test_videos_of_other_size_rate_and_colour(made, tmp_path, label):
    large = write(tmp_path / "large.avi", gesture(label, 3, 60, (120, 160)), fps=50)
    grey = write(tmp_path / "grey.avi", gesture(label, 4), grey=True)
    slow = write(tmp_path / "slow.avi", gesture(label, 5, 6), fps=5)
    for path in (large, grey, slow):
        results, health = seen(made, path)
        assert results[-1].prediction.label == label
        assert health.gaps == 0


def test_frames_that_count_twice_are_seen_twice(made, tmp_path):
    film = gesture("left", 7, 8)
    slow = [Frame(frame, i / 5, i) for i, frame in enumerate(film)]
    twice = pick([frame.time for frame in slow], RATE)
    evenly = [Frame(film[k], n / RATE, n) for n, k in enumerate(twice)]
    a, b = (seen(made, frames)[0][-1].prediction.scores for frames in (slow, evenly))
    assert np.array_equal(a, b)


def test_a_gap_begins_anew(made):
    first, second = (
        [Frame(frame, i / RATE, i) for i, frame in enumerate(gesture(label, 8, 12))]
        for label in ("left", "right")
    )
    alone, _ = seen(made, second)
    later = [replace(frame, time=frame.time + 60) for frame in second]
    results, health = seen(made, [*first, *later])
    assert health.gaps == 1
    for a, b in zip(results[12:], alone, strict=True):
        assert np.array_equal(a.prediction.scores, b.prediction.scores)


def test_eval_measures_clips_of_a_folder(made):
    folder, *_ = made
    model = find(folder / "sides.edgenn", "litert", "fp32")
    recipe, samples = samples_of(model[0], folder / "data", None, quiet)
    exam = examine(model, recipe, samples[:6], 1, quiet)
    assert exam.metrics.samples == 6
    assert exam.metrics.main > 0.9


def test_what_is_for_sensors_alone_is_refused(made):
    manifest = find(made[0] / "sides.edgenn")[0]
    with pytest.raises(UsageError, match="tune is for models of sensor readings"):
        tune.refuse_other_models(manifest)
    with pytest.raises(UsageError, match="--join is for sensor readings"):
        streams.recordings_of(manifest, [], join=True)
