from __future__ import annotations

import shutil
from itertools import pairwise

import numpy as np
import pytest

from edgenn import Pipeline
from edgenn.bundle.store import open_bundle, replace_manifest
from edgenn.data import Recording, quiet
from edgenn.errors import UsageError
from edgenn.export.streams import (
    Playback,
    background_ids,
    is_continuous,
    listen,
    recordings_of,
    replay,
    scores_of,
)
from edgenn.runtime.files import find
from edgenn.runtime.model import load
from edgenn.types import Samples

STAGE = {"gestures": {"background": ["middle"], "alpha": 0.6, "min_duration": 0.3}}


@pytest.fixture
def bundle(tiny, tmp_path):
    """tiny-sequence with the gestures stage; "middle" is the background."""
    path = tmp_path / "levels.edgenn"
    shutil.copy(tiny / "tiny-sequence.edgenn", path)
    manifest = open_bundle(path).manifest
    replace_manifest(path, manifest.model_copy(update={"temporal": STAGE}))
    return path


def recording(seed: int = 0, group: str = "a") -> Recording:
    """A minute at 20 Hz: rest, and every 10 seconds 4 seconds of low or high in turn."""
    ids = np.ones(1200, np.int64)
    for i in range(6):
        ids[200 * i + 60 : 200 * i + 140] = 2 * (i % 2)
    noise = np.random.default_rng(seed).normal(0, 0.3, (1200, 2))
    noise[:, 0] += 3.0 * (ids - 1)
    return Recording(f"r{seed}", noise.astype(np.float32), ids, 20.0, group)


def test_the_real_pipeline_finds_the_events_of_a_recording(bundle):
    (stream,) = listen(load(bundle), [recording()], quiet)
    assert [e.label for e in stream.truth] == ["low", "high"] * 3
    assert [e.label for e, _ in stream.found] == ["low", "high"] * 3
    assert stream.seconds == 60
    for (found, given), true in zip(stream.found, stream.truth, strict=True):
        assert found.start == pytest.approx(true.start, abs=1.0)
        assert 0 < given - found.end < 0.3  # the next window showed that it was over
        assert given > true.end


def test_replayed_scores_give_what_the_pipeline_gave(bundle):
    recordings = [recording(0), recording(1)]
    whole = listen(load(bundle), recordings, quiet)
    scores = scores_of(find(bundle), recordings, 0, quiet)
    again = [replay(open_bundle(bundle).manifest, part, STAGE) for part in scores]
    assert [s.found for s in again] == [s.found for s in whole]
    assert all(len(part.items) == len(part.values) > 200 for part in scores)
    smooth = {"smoothing": {}, **STAGE}
    assert replay(open_bundle(bundle).manifest, scores[0], smooth).found != whole[0].found


def test_events_do_not_depend_on_how_the_stream_is_chunked(bundle):
    source = recording()
    times = np.arange(1200) / 20

    def events(sizes):
        cuts = np.cumsum([0, *sizes])
        chunks = [Samples(source.values[a:b], times[a:b]) for a, b in pairwise(cuts)]
        return [(e, r.item.end) for r in Pipeline(chunks, load(bundle)) for e in r.events]

    (whole,) = listen(load(bundle), [source], quiet)
    assert events([1200]) == events([1] * 1200) == events([7, 500, 0, 693]) == list(whole.found)


def test_a_gap_in_the_stream_cuts_the_gesture_off(bundle):
    source = recording()
    times = np.arange(1200) / 20
    times[100:] += 30.0  # in the middle of the first gesture
    results = list(Pipeline([Samples(source.values, times)], load(bundle)))
    first, second, *_ = [e for r in results for e in r.events]
    assert (first.label, second.label) == ("low", "low")
    assert first.end < 5.0
    assert second.start >= 35.0


def test_playback_gives_every_reading_once_with_its_time():
    chunks = list(Playback(recording()))
    assert np.array_equal(np.concatenate([c.values for c in chunks]), recording().values)
    assert np.array_equal(np.concatenate([c.times for c in chunks]), np.arange(1200) / 20)
    assert len(chunks) == 60


def test_events_are_measured_where_something_tells_a_gesture_from_none(bundle, tiny):
    plain = open_bundle(tiny / "tiny-sequence.edgenn").manifest
    clip = Recording("c", np.zeros((40, 2), np.float32), np.full(40, 2), 20.0, "a")
    assert not is_continuous(plain, [clip])
    assert is_continuous(plain, [clip, recording()])
    assert is_continuous(open_bundle(bundle).manifest, [clip])


def test_clips_are_joined_with_the_background_of_the_model_or_with_none_of_its_classes(
    bundle, tiny
):
    clips = [
        Recording(f"{i}", recording(i).values[:40], np.full(40, 2 * (i % 2)), 20.0, f"p{i % 3}")
        for i in range(6)
    ]
    for path, background in ((bundle, 1), (tiny / "tiny-sequence.edgenn", 3)):
        manifest = open_bundle(path).manifest
        streams = recordings_of(manifest, clips, join=True)
        assert [s.group for s in streams] == ["p0", "p1", "p2"]
        assert all(set(np.unique(s.class_ids)) == {0, 2, background} for s in streams)
        assert background in background_ids(manifest)
        assert recordings_of(manifest, clips, join=False) == clips


def test_models_for_pictures_have_no_streams(tiny):
    with pytest.raises(UsageError, match="tiny-classify is for classify"):
        recordings_of(open_bundle(tiny / "tiny-classify.edgenn").manifest, [], join=True)
