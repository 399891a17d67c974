from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from edgenn.bundle.store import open_bundle, replace_manifest
from edgenn.cli import cli
from edgenn.errors import DataError, UsageError
from edgenn.runtime.golden import verify

# "high" is worn so loosely that its mean is only just above the net's threshold.
LEVELS = {0: -3.0, 1: 0.0, 2: 1.1}


def write_data(path: Path, people: dict[str, str], seed: int) -> Path:
    """A stream of a minute for each person: rest, gestures of 2 seconds, and short jerks."""
    rng = np.random.default_rng(seed)
    values, ids, group, split = [], [], [], []
    for person, side in people.items():
        y = np.ones(1200, np.int64)
        x = rng.normal(0, 0.3, (1200, 2))
        for at in range(40, 1100, 120):
            y[at : at + 40] = rng.choice([0, 2])
            x[at + 70 : at + 76, 0] -= 5
        x[:, 0] += np.vectorize(LEVELS.get)(y)
        values.append(x)
        ids.append(y)
        group += [person] * 1200
        split += [side] * 1200
    np.savez(
        path,
        values=np.concatenate(values).astype(np.float32),
        y=np.concatenate(ids),
        recording=np.repeat(np.arange(len(people)), 1200),
        labels=np.array(["low", "middle", "high"]),
        channels=np.array(["x", "y"]),
        group=np.array(group),
        rate=20.0,
        **({"split": np.array(split)} if any(people.values()) else {}),
    )
    return path


@pytest.fixture
def bundle(tiny, tmp_path):
    """tiny-sequence, which looks at one second four times a second; "middle" is no event."""
    path = tmp_path / "levels.edgenn"
    shutil.copy(tiny / "tiny-sequence.edgenn", path)
    manifest = open_bundle(path).manifest
    stage = {"smoothing": {"alpha": 0.6, "ignore": ["middle"]}}
    replace_manifest(path, manifest.model_copy(update={"temporal": stage}))
    return path


def type_in(*arguments):
    """Run the command in this process; a user's mistake is raised as the error it is."""
    return CliRunner().invoke(
        cli, [str(a) for a in arguments], standalone_mode=False, catch_exceptions=False
    )


def evaluate(bundle, data, out, *more):
    result = type_in("eval", bundle, "--data", data, "--out", out, *more)
    return result.output, json.loads((out / "eval.json").read_text())


def test_tune_writes_thresholds_that_help_with_people_not_seen(bundle, tmp_path):
    seen = write_data(tmp_path / "seen.npz", {"ann": "", "dan": ""}, 0)
    unseen = write_data(tmp_path / "unseen.npz", {"bob": "", "cy": ""}, 1)
    _, before = evaluate(bundle, unseen, tmp_path / "before")
    output = type_in("tune", bundle, "--data", seen).output
    assert "before" in output
    assert "levels.edgenn now has these parameters" in output
    text, after = evaluate(bundle, unseen, tmp_path / "after")
    assert after["events"]["event_f1"] > before["events"]["event_f1"] + 0.2
    assert after["events"]["false_alarms_per_hour"] < before["events"]["false_alarms_per_hour"]
    assert "events in 2 streams" in text
    assert after["macro_f1"] == before["macro_f1"]  # the net is as it was
    assert all(check.status in ("pass", "skipped") for check in verify(bundle))
    assert list(open_bundle(bundle).manifest.temporal) == ["gestures"]
    assert sorted(p.name for p in (tmp_path / "after").iterdir()) == [
        "confusion.png",
        "eval.json",
        "timeline.png",
    ]
    assert cv2.imread(str(tmp_path / "after" / "timeline.png")) is not None
    assert list(tmp_path.glob(".*.tmp")) == []


def test_eval_of_clips_measures_events_once_they_are_joined(tiny, tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(12) % 2 * 2
    values = rng.normal(0, 0.3, (12, 100, 2))
    values[:, 10:90, 0] += 3.0 * (y - 1)[:, None]  # each begins and ends at rest
    clips = tmp_path / "clips.npz"
    group = np.array([f"p{i // 6}" for i in range(12)])
    labels = np.array(["low", "middle", "high"])
    names = np.array(["x", "y"])
    np.savez(clips, values=values, y=y, group=group, labels=labels, channels=names, rate=20.0)
    model = tiny / "tiny-sequence.edgenn"
    _, alone = evaluate(model, clips, tmp_path / "alone")
    assert "events" not in alone
    text, joined = evaluate(model, clips, tmp_path / "joined", "--join")
    assert joined["events"]["true_events"] == 12
    assert joined["events"]["event_recall"] > 0.8
    assert "events in 2 streams" in text
    assert joined["samples"] == alone["samples"]


def test_tune_takes_the_validation_people_of_a_recipe_alone(bundle, tmp_path):
    data = write_data(tmp_path / "all.npz", {"ann": "", "bob": "", "cy": ""}, 0)
    recipe = {
        "name": "levels",
        "task": "sequence",
        "data": {"format": "npz", "path": str(data), "split": {"by": "group", "val": ["bob"]}},
        "net": {"family": "rnn"},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    assert "1 streams, 0.02 hours" in type_in("tune", bundle, "--data", tmp_path / "r.yaml").output


@pytest.mark.parametrize("model", ["tiny-detect.edgenn", "tiny-classify.edgenn"])
def test_tune_refuses_models_that_are_none_for_sequences(tiny, tmp_path, model):
    with pytest.raises(UsageError, match="tune is for sequence models"):
        type_in("tune", tiny / model, "--data", tmp_path)


def test_tune_refuses_what_it_cannot_write_to(bundle, tmp_path):
    bare = tmp_path / "model.onnx"
    bare.write_bytes(open_bundle(bundle).read("model.fp32.onnx"))
    for path in (bare, "watch"):
        with pytest.raises(UsageError, match="needs the path of one"):
            type_in("tune", path, "--data", tmp_path)


def test_tune_refuses_data_that_is_all_for_training(bundle, tmp_path):
    data = write_data(tmp_path / "t.npz", {"ann": "train", "bob": "train"}, 0)
    before = bundle.read_bytes()
    with pytest.raises(DataError, match="no validation recordings"):
        type_in("tune", bundle, "--data", data)
    assert bundle.read_bytes() == before


def test_eval_refuses_to_join_pictures(tiny, pictures):
    with pytest.raises((UsageError, DataError)):
        type_in("eval", tiny / "tiny-classify.edgenn", "--data", pictures, "--join")
