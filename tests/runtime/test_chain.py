"""Chains of nets: with MediaPipe's hands on real films, and with tiny nets what is refused."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import pytest

import edgenn
from edgenn import Frame, Pipeline
from edgenn.bundle.compose import compose
from edgenn.bundle.store import open_bundle
from edgenn.errors import BundleError, ModelError
from edgenn.ops.crop import HAND, PALM
from edgenn.runtime.chain import ChainModel
from edgenn.runtime.golden import verify

TOOL = Path(__file__).parents[2] / "tools" / "hands"


@pytest.fixture(scope="module")
def hands(real_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hands")
    out = folder / "hand-gesture.edgenn"
    command = [sys.executable, TOOL, real_data / "models", "--work", folder, "-o", out]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return out


@pytest.mark.parametrize("clip", ["hungry", "milk", "no", "sorry", "thanks"])
def test_a_hand_is_found_where_one_is_to_be_seen(hands, real_data, clip):
    results = list(Pipeline(real_data / "videos" / "asl" / f"{clip}.mkv", hands))
    found = [r for r in results if len(r.prediction)]
    assert len(found) >= 0.98 * len(results)
    for result in found:
        height, width = result.item.image.shape[:2]
        points = result.prediction.keypoints
        assert points.shape == (len(result.prediction), 21, 3)
        # The second hand of one clip is half below the picture.
        inside = (points[..., :2] > -20) & (points[..., :2] < (width + 20, height + 20))
        assert inside[0].mean() > 0.8


def test_the_detector_rests_while_the_hand_is_followed(hands, real_data, monkeypatch):
    looked, find = [], ChainModel._find
    monkeypatch.setattr(ChainModel, "_find", lambda *a: (looked.append(1), find(*a)))
    results = list(Pipeline(real_data / "videos" / "asl" / "thanks.mkv", hands))
    assert len(looked) < len(results) / 10
    numbers = [r.prediction.tracks.ids.tolist() for r in results]
    assert all(1 in ids for ids in numbers)  # the same hand from the first frame to the last


def film(real_data, way, per=20, frames=60):
    """A still hand whose picture goes round, to and fro, or rests; 30 frames a second."""
    capture = cv2.VideoCapture(str(real_data / "videos" / "asl" / "hungry.mkv"))
    for _ in range(26):
        _, still = capture.read()
    capture.release()
    height, width = still.shape[:2]
    for i in range(frames):
        angle = 2 * np.pi * i / per
        x, y = {
            "Clockwise": (0.06 * np.cos(angle), 0.06 * np.sin(angle)),  # y goes down
            "Counter Clockwise": (0.06 * np.cos(angle), -0.06 * np.sin(angle)),
            "Move": (0.2 * np.sin(angle / 2), 0.0),
            "Stop": (0.0, 0.0),
        }[way]
        shift = np.float32([[1, 0, x * width], [0, 1, y * width]])
        image = cv2.warpAffine(still, shift, (width, height), borderMode=cv2.BORDER_REPLICATE)
        yield Frame(image, i / 30, i, "film")


@pytest.mark.parametrize("way", ["Clockwise", "Counter Clockwise", "Move", "Stop"])
def test_what_a_hand_does_is_told_from_video(hands, real_data, way):
    results = list(Pipeline(film(real_data, way), hands))
    events = {event.label for result in results for event in result.events}
    assert events == {way}
    speed = np.median([np.abs(r.prediction.tracks.speeds).max() for r in results[20:]])
    assert (speed > 100) == (way != "Stop")


def test_two_runs_decide_the_same_and_twins_share_no_memory(hands, real_data):
    model = edgenn.load(hands)
    first, second = (
        [
            (r.prediction.boxes.tobytes(), r.prediction.class_ids.tobytes())
            for r in Pipeline(film(real_data, "Clockwise", frames=25), model)
        ]
        for _ in range(2)
    )
    assert first == second


def test_all_nets_of_a_chain_are_verified(hands):
    checks = verify(hands)
    assert {check.variant.file.rpartition("/")[0] for check in checks} == {
        "",
        "landmarks.edgenn",
        "trace.edgenn",
    }
    assert all(check.status == "pass" for check in checks)


RULES = {"region": asdict(PALM) | {"start": (), "end": ()}, "again": asdict(HAND), "label": "it"}


def test_a_net_inside_that_was_changed_is_refused(tiny, tmp_path):
    out = tmp_path / "chain.edgenn"
    detector = tiny / "tiny-detect.edgenn"
    compose(detector, detector, None, RULES, out, name="chain")
    assert edgenn.load(out).labels == ("it",)
    with zipfile.ZipFile(out) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["landmarks.edgenn"] = files["landmarks.edgenn"][:-1] + b"x"
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with pytest.raises(BundleError, match=r"landmarks.edgenn does not match its hash"):
        edgenn.load(out)


def test_landmarks_of_a_net_without_points_are_nothing(tiny, tmp_path, clip):
    out = tmp_path / "chain.edgenn"
    detector = tiny / "tiny-detect.edgenn"
    compose(detector, detector, None, RULES, out, name="chain")
    assert [len(r.prediction) for r in Pipeline(clip, out)] == [0] * 20


def test_nets_that_do_not_fit_each_other_are_refused(tiny, tmp_path):
    out = tmp_path / "chain.edgenn"
    detector, sequence = tiny / "tiny-detect.edgenn", tiny / "tiny-sequence.edgenn"
    with pytest.raises(BundleError, match="a chain follows a detector"):
        compose(sequence, detector, None, RULES, out, name="chain")
    assert not out.exists()
    compose(detector, sequence, None, RULES, out, name="chain")
    with pytest.raises(ModelError, match="does not look at crops"):
        edgenn.load(out)
    compose(detector, detector, None, RULES, out, name="chain")
    compose(out, out, None, RULES, tmp_path / "twice.edgenn", name="twice")
    with pytest.raises(ModelError, match="chain inside of a chain"):
        edgenn.load(tmp_path / "twice.edgenn")
    assert open_bundle(out).manifest.chain is not None
