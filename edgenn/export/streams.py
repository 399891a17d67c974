"""Running a bundle over whole recordings, as a device runs it over a sensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgenn import plugins
from edgenn.bundle.manifest import Manifest, Variant
from edgenn.data import Clip, Picture, Progress, Recording
from edgenn.data.streams import join_groups
from edgenn.errors import UsageError
from edgenn.runtime import temporal
from edgenn.runtime.model import Model
from edgenn.runtime.pipeline import Pipeline
from edgenn.train.events import Stream, background_labels, stream_of
from edgenn.types import Classification, Event, Floats, Frame, Prediction, Samples, Window

Found = tuple[tuple[Event, float], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What a model said of one recording.

    Attributes:
        recording: The recording.
        items: What was looked at, without its readings.
        values: (N, C) float32 scores, one row per item.
    """

    recording: Recording
    items: tuple[Window, ...]
    values: Floats


class Playback:
    """A source of the readings of one recording, a second at a time, from 0 seconds on."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording

    def __iter__(self) -> Iterator[Samples]:
        """Chunks, in order."""
        values, rate = self._recording.values, self._recording.rate
        times = np.arange(len(values)) / rate
        step = max(1, round(rate))
        for at in range(0, len(values), step):
            chunk = slice(at, at + step)
            yield Samples(values[chunk], times[chunk], self._recording.name)


def recordings_of(
    manifest: Manifest, samples: Sequence[Picture | Recording | Clip], *, join: bool
) -> list[Recording]:
    """The streams to run: recordings as they are, or joined to one per group.

    Raises:
        UsageError: The model takes no recordings, or video, which cannot be joined.
    """
    if manifest.task != "sequence":
        raise UsageError(f"streams are for sequence models; {manifest.name} is for {manifest.task}")
    if join and manifest.input.kind == "image":
        raise UsageError(f"--join is for sensor readings; {manifest.name} takes video")
    recordings = [sample for sample in samples if isinstance(sample, Recording)]
    if not join:
        return recordings
    labels = background_labels(manifest.labels, manifest.temporal)
    # A model that knows no background is told of pauses by a class that it does not have.
    pause = manifest.labels.index(labels[0]) if labels else len(manifest.labels)
    return join_groups(recordings, pause)


def is_continuous(manifest: Manifest, recordings: Sequence[Recording]) -> bool:
    """Whether events can be measured: several classes in one recording, or a background class."""
    if background_labels(manifest.labels, manifest.temporal):
        return True
    return any(len(np.unique(r.class_ids[r.class_ids >= 0])) > 1 for r in recordings)


def background_ids(manifest: Manifest) -> set[int]:
    """Classes of readings that are no event."""
    named = background_labels(manifest.labels, manifest.temporal)
    return {len(manifest.labels), *(manifest.labels.index(name) for name in named)}


def listen(model: Model, recordings: Sequence[Recording], progress: Progress) -> list[Stream]:
    """Run a model with its temporal stages over recordings.

    Args:
        model: For sequences.
        recordings: With the model's channels, rate and class ids.
        progress: Told of every recording.
    """
    tick = progress(f"streams of {model.variant.file}", len(recordings))
    streams = []
    for recording in recordings:
        found = tuple(
            (event, _time(result.item))
            for result in Pipeline(Playback(recording), model)
            for event in result.events
        )
        streams.append(_stream(model.manifest, recording, found))
        tick()
    return streams


def scores_of(
    model: tuple[Manifest, Variant, bytes],
    recordings: Sequence[Recording],
    threads: int,
    progress: Progress,
) -> list[Scores]:
    """Run a model without its temporal stages; `replay` gives them to stages afterwards.

    Args:
        model: As `edgenn.runtime.files.find` gives it.
        recordings: With the model's channels, rate and class ids.
        threads: Worker threads of the engine; 0 lets it choose.
        progress: Told of every recording.
    """
    manifest, variant, data = model
    plain = Model(manifest.model_copy(update={"temporal": {}}), variant, data, threads=threads)
    tick = progress(f"run {variant.file}", len(recordings))
    every = []
    for recording in recordings:
        items: list[Window] = []
        rows: list[Floats] = []
        for result in Pipeline(Playback(recording), plain):
            assert isinstance(result.item, Window)
            assert isinstance(result.prediction, Classification)
            items.append(replace(result.item, values=result.item.values[:0]))
            rows.append(result.prediction.scores.copy())
        empty = np.zeros((0, len(manifest.labels)), np.float32)
        every.append(Scores(recording, tuple(items), np.stack(rows) if rows else empty))
        tick()
    return every


def replay(manifest: Manifest, scores: Scores, stages: Mapping[str, Mapping[str, Any]]) -> Stream:
    """What the temporal stages make of scores, as if the model had just given them.

    Args:
        manifest: Of the model.
        scores: As `scores_of` gives them.
        stages: Name to parameters, in order, as a manifest has them.
    """
    chain = [
        plugins.load(temporal, name).build(params, manifest.labels)
        for name, params in stages.items()
    ]
    found: list[tuple[Event, float]] = []
    now = 0.0
    for item, row in zip(scores.items, scores.values, strict=True):
        prediction: Prediction = Classification(row, manifest.labels)
        now = item.end
        for stage in chain:
            prediction, events = stage.update(item, prediction)
            found += [(event, now) for event in events]
    found += [(event, now) for stage in chain for event in stage.reset()]
    return _stream(manifest, scores.recording, tuple(found))


def _stream(manifest: Manifest, recording: Recording, found: Found) -> Stream:
    return stream_of(recording, manifest.labels, background_ids(manifest), found)


def _time(item: Frame | Window) -> float:
    return item.time if isinstance(item, Frame) else item.end
