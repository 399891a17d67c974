"""Whole trainings on small data: they learn, stop, resume and repeat."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch

from edgenn.errors import EdgennError, RecipeError, UsageError
from edgenn.recipe.load import dump_recipe, load_recipe
from edgenn.recipe.schema import Augment
from edgenn.train import checkpoint
from edgenn.train.checkpoint import BEST, LAST
from edgenn.train.loop import train
from edgenn.train.run import load_run
from edgenn.train.setup import Job


def tensors(path):
    return checkpoint.read(path)[1]


def assert_same(folder, other, names=(BEST, LAST)):
    for name in names:
        a, b = tensors(folder / name), tensors(other / name)
        assert a.keys() == b.keys()
        different = [k for k in a if not torch.equal(a[k], b[k])]
        assert not different, (name, different[:5])


@pytest.fixture
def data(request):
    return request.getfixturevalue(
        {"detect": "boxes_data", "classify": "shapes_data", "sequence": "waves_data"}[request.param]
    )


@pytest.mark.parametrize(
    ("task", "data", "epochs", "enough", "picture"),
    [
        ("detect", "detect", 15, 0.4, "detections.png"),
        ("classify", "classify", 12, 0.85, "confusion.png"),
        ("sequence", "sequence", 12, 0.9, "confusion.png"),
    ],
    indirect=["data"],
)
def test_each_task_learns_and_leaves_its_papers(
    tmp_path, make_recipe, task, data, epochs, enough, picture
):
    recipe = make_recipe(task, data, epochs=epochs, eval_every=5, patience=0)
    outcome = train(Job(recipe, tmp_path, device="cpu"))
    assert outcome.finished
    assert outcome.folder == tmp_path / "tiny"
    assert outcome.best > enough

    folder = outcome.folder
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert len(rows) == epochs
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert rows[0][outcome.metric] == ""
    assert float(rows[4][outcome.metric]) >= 0
    for name in (picture, "curves.png"):
        image = cv2.imread(str(folder / name))
        assert image is not None
        assert image.std() > 5
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["best"] == pytest.approx(outcome.best)
    assert summary["parameters"] > 1000
    assert load_recipe(folder / "recipe.yaml") == recipe

    run = load_run(folder)
    assert run.metrics["main"] == outcome.best
    assert run.recipe == recipe


@pytest.mark.parametrize("data", ["classify"], indirect=True)
def test_interrupted_and_resumed_is_the_same_to_the_bit(tmp_path, make_recipe, data):
    """A real Ctrl-C in the middle of an epoch, in another process, with workers."""
    recipe = make_recipe("classify", data, epochs=4, batch=2, workers=2)
    whole = train(Job(recipe, tmp_path / "whole", device="cpu"))

    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(recipe))
    command = ["-m", "edgenn", "train", str(file), "--device", "cpu", "--runs", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "epoch 1/4" in line:
                # Well into the next epoch, which takes much longer than this.
                time.sleep(0.15)
                # As a terminal does it: to every process of the group.
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait(60)
    told = "".join(lines)
    assert code == 130, told
    assert "--resume" in lines[-1]
    assert "Traceback" not in told
    progress = checkpoint.read(tmp_path / "tiny" / LAST)[0].progress
    assert progress.epoch == 1
    assert 0 < progress.batch < 96

    outcome = train(Job(recipe, tmp_path, device="cpu", resume=True))
    assert outcome.finished
    assert_same(whole.folder, outcome.folder)
    for name in ("metrics.csv", "curves.png", "confusion.png"):
        assert (whole.folder / name).read_bytes() == (outcome.folder / name).read_bytes()
    with pytest.raises(UsageError, match="is finished after 4 epochs"):
        train(Job(recipe, tmp_path, device="cpu", resume=True))


def fine_tuning(make_recipe, data, teacher):
    """A detector that has everything: loaded and frozen parts, a teacher, sizes that change."""
    recipe = make_recipe(
        "detect", data, epochs=2, batch=40, freeze=["backbone"], distill={"run": str(teacher)}
    )
    net = recipe.net.model_copy(update={"weights": str(teacher / BEST)})
    augment = Augment(mosaic=0.5, mixup=0.5, multiscale=(0.7, 1.5))
    return recipe.model_copy(update={"net": net, "augment": augment})


def test_frozen_part_stays_and_the_rest_learns(tmp_path, make_recipe, boxes_data):
    first = train(Job(make_recipe("detect", boxes_data, epochs=2), tmp_path, device="cpu")).folder
    recipe = fine_tuning(make_recipe, boxes_data, first)
    before, after = tensors(first / BEST), tensors(train(Job(recipe, tmp_path)).folder / LAST)
    same = {n for n, t in before.items() if torch.equal(t, after[n])}
    backbone = {n for n in before if n.startswith("model.backbone.")}
    assert backbone <= same
    assert "model.heads.0.outputs.scores.weight" not in same


@pytest.mark.parametrize("task", ["detect", "sequence", "fine-tune"])
def test_resume_at_every_place_is_the_same(
    tmp_path, make_recipe, boxes_data, waves_data, monkeypatch, task
):
    """Stops of this process's own, at odd steps; the resumed process has another random state."""
    if task == "fine-tune":
        teacher = train(Job(make_recipe("detect", boxes_data, epochs=1), tmp_path / "teacher"))
        recipe = fine_tuning(make_recipe, boxes_data, teacher.folder)
    else:
        data = boxes_data if task == "detect" else waves_data
        more = {"optimizer": "muon"} if task == "sequence" else {}
        recipe = make_recipe(task, data, epochs=2, batch=40, **more)
    whole = train(Job(recipe, tmp_path / "whole", device="cpu"))
    times = 0
    while True:
        torch.rand(times + 3)
        # Delivered to the handler that the training installs, at its next step.
        from edgenn.train import stop

        class Asked(stop.StopRequest):
            def __enter__(self):
                super().__enter__()
                os.kill(os.getpid(), signal.SIGTERM)
                return self

        monkeypatch.setattr("edgenn.train.loop.StopRequest", Asked)
        outcome = train(Job(recipe, tmp_path, device="cpu", resume=times > 0))
        times += 1
        if outcome.finished:
            break
    assert times >= 4
    assert_same(whole.folder, outcome.folder)


@pytest.mark.parametrize("data", ["classify"], indirect=True)
def test_workers_do_not_change_the_result(tmp_path, make_recipe, data):
    folders = [
        train(
            Job(make_recipe("classify", data, epochs=2, workers=n), tmp_path / str(n), device="cpu")
        ).folder
        for n in (0, 1, 2)
    ]
    assert_same(folders[0], folders[1])
    assert_same(folders[0], folders[2])


def test_seed_changes_the_result(tmp_path, make_recipe, waves_data):
    recipe = make_recipe("sequence", waves_data, epochs=1)
    first = train(Job(recipe, tmp_path, device="cpu")).folder
    again = train(Job(recipe, tmp_path, device="cpu")).folder
    other = train(Job(recipe.model_copy(update={"seed": 1}), tmp_path, device="cpu")).folder
    assert [f.name for f in (first, again, other)] == ["tiny", "tiny-2", "tiny-3"]
    assert_same(first, again)
    a, b = tensors(first / BEST), tensors(other / BEST)
    assert not torch.equal(*(t["model.layers.1.inner.0.weight"] for t in (a, b)))


@pytest.mark.parametrize(("every", "waited"), [(1, 3), (4, 4)])
def test_early_stop_waits_for_the_next_validation(tmp_path, make_recipe, waves_data, every, waited):
    recipe = make_recipe("sequence", waves_data, epochs=50, patience=3, lr=1e-9, eval_every=every)
    outcome = train(Job(recipe, tmp_path, device="cpu"))
    assert outcome.finished
    assert outcome.epoch == outcome.best_epoch + waited


def test_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(
    tmp_path, make_recipe, waves_data, monkeypatch
):
    recipe = make_recipe("sequence", waves_data, epochs=3, clip=0)
    steps = 192 // 16
    # Well for one epoch, then far too fast.
    monkeypatch.setattr(
        "edgenn.train.loop.rate", lambda _, step, __: 0.01 if step <= steps else 1e30
    )
    with pytest.raises(EdgennError, match=r"number in epoch 2, step \d+; the last good .* is"):
        train(Job(recipe, tmp_path, device="cpu"))
    for name in (BEST, LAST):
        held = tensors(tmp_path / "tiny" / name)
        assert all(torch.isfinite(t).all() for t in held.values() if t.is_floating_point())
    assert checkpoint.read(tmp_path / "tiny" / LAST)[0].progress.epoch == 1


def test_starts_from_an_earlier_run(tmp_path, make_recipe, shapes_data):
    first = train(Job(make_recipe("classify", shapes_data, epochs=8), tmp_path, device="cpu"))
    net = make_recipe("classify", shapes_data).net.model_copy(
        update={"weights": str(first.folder / BEST)}
    )
    cold = make_recipe("classify", shapes_data, epochs=1, lr=1e-6)
    warm = cold.model_copy(update={"net": net})
    poor = train(Job(cold, tmp_path, device="cpu"))
    good = train(Job(warm, tmp_path, device="cpu"))
    assert good.best > poor.best + 0.2


def test_resume_with_other_settings_is_refused(tmp_path, make_recipe, waves_data):
    recipe = make_recipe("sequence", waves_data, epochs=1)
    with pytest.raises(UsageError, match="nothing to resume"):
        train(Job(recipe, tmp_path, device="cpu", resume=True))
    folder = train(Job(recipe, tmp_path, device="cpu")).folder
    header, held = checkpoint.read(folder / LAST)
    header.progress.finished = False
    checkpoint.save(folder / LAST, header, held)
    changed = make_recipe("sequence", waves_data, epochs=5)
    with pytest.raises(UsageError, match=r"train\.epochs=1, not 5"):
        train(Job(changed, tmp_path, device="cpu", resume=True))


def test_family_of_another_task_is_refused_before_any_data_is_read(tmp_path, make_recipe):
    recipe = make_recipe("classify", tmp_path / "nowhere")
    wrong = recipe.model_copy(update={"net": recipe.net.model_copy(update={"family": "rnn"})})
    with pytest.raises(RecipeError, match="use dscnn"):
        train(Job(wrong, tmp_path, device="cpu"))


def test_rare_class_gains_from_balance(tmp_path, make_recipe, waves_data):
    """Nine tenths of one class: without weights the others drown."""
    with np.load(waves_data) as held:
        arrays = dict(held)
    keep = (arrays["y"] == 0) | (np.arange(len(arrays["y"])) % 15 < 3)
    thin = tmp_path / "thin.npz"
    arrays |= {k: arrays[k][keep] for k in ("values", "y", "group")}
    np.savez(thin, **arrays)
    scores = []
    for strength in (0.0, 1.0):
        recipe = make_recipe("sequence", thin, epochs=4, lr=0.003, class_balance=strength, ema=0)
        folder = train(Job(recipe, tmp_path / str(strength), device="cpu")).folder
        scores.append(json.loads((folder / "summary.json").read_text())["best"])
    assert scores[1] > scores[0]


def test_several_processes_train_one_net(tmp_path, make_recipe, waves_data):
    """Under the launcher, without a word about it in the recipe."""
    file = tmp_path / "tiny.yaml"
    file.write_text(dump_recipe(make_recipe("sequence", waves_data, epochs=6, batch=8)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "edgenn", "train", str(file), "--device", "cpu", "--runs", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, *launcher, *command],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("next: edgenn export") == 1
    summary = json.loads((tmp_path / "tiny" / "summary.json").read_text())
    assert summary["best"] > 0.6
    assert not (tmp_path / "tiny-2").exists()


def test_real_hand_signs_are_learnt(tmp_path, make_recipe, real_data):
    recipe = make_recipe("classify", real_data / "gestures" / "sign-digits", epochs=4, batch=32)
    outcome = train(Job(recipe, tmp_path, device="cpu"))
    # Ten classes: chance is 0.1.
    assert outcome.best > 0.25
