from __future__ import annotations

import numpy as np
import pytest

from edgenn.errors import ModelError
from edgenn.ops.ctc import best_path
from edgenn.runtime.temporal.ctc import build
from edgenn.types import Classification, Detections, Window

LABELS = ("blank", "wave", "push")


def step(i: int) -> Window:
    return Window(np.zeros((1, 1), np.float32), i / 10, (i + 1) / 10, i)


def follow(stage, rows):
    found = []
    for i, row in enumerate(rows):
        prediction = Classification(np.asarray(row, np.float32), LABELS)
        found += [(e, i) for e in stage.update(step(i), prediction)[1]]
    return found + [(e, -1) for e in stage.reset()]


def says(word: str, score: float = 0.9) -> list[float]:
    rows = []
    for letter in word:
        row = [(1 - score) / 2] * 3
        row["bwp".index(letter)] = score
        rows.append(row)
    return rows


def test_each_spike_is_one_event_with_the_first_step_after_it():
    found = follow(build({}, LABELS), says("bbwwbpbb"))
    assert [(e.label, round(e.start, 3), round(e.end, 3), at) for e, at in found] == [
        ("wave", 0.2, 0.4, 4),
        ("push", 0.5, 0.6, 6),
    ]


def test_repeats_count_only_with_a_blank_in_between():
    assert len(follow(build({}, LABELS), says("bwwwb"))) == 1
    assert len(follow(build({}, LABELS), says("bwbwb"))) == 2
    assert [e.label for e, _ in follow(build({}, LABELS), says("bwpw"))] == ["wave", "push", "wave"]


def test_it_decodes_as_the_whole_sequence_is_decoded():
    rows = np.random.default_rng(0).dirichlet([0.5, 0.3, 0.3], 400).astype(np.float32)
    found = follow(build({"threshold": 0.0}, LABELS), rows)
    whole = best_path(np.log(rows), 0)
    assert [(e.label, round(e.start * 10), round(e.end * 10)) for e, _ in found] == [
        (LABELS[s.class_id], s.start, s.stop) for s in whole
    ]
    assert [e.score for e, _ in found] == pytest.approx([s.score for s in whole])


def test_weak_spikes_and_those_in_refractory_time_are_no_events():
    weak = says("b") + says("w", 0.5) + says("b")
    assert follow(build({"threshold": 0.6}, LABELS), weak) == []
    found = follow(build({"refractory": 0.5}, LABELS), says("wbpbbbbbp"))
    assert [(e.label, round(e.start, 3)) for e, _ in found] == [("wave", 0.0), ("push", 0.8)]


def test_a_reset_gives_out_the_open_spike_and_forgets():
    stage = build({"refractory": 5.0}, LABELS)
    assert [(e.label, at) for e, at in follow(stage, says("bw"))] == [("wave", -1)]
    assert len(follow(stage, says("wb"))) == 1


def test_the_blank_may_be_any_label():
    assert [e.label for e, _ in follow(build({"blank": "push"}, LABELS), says("pbpwp"))] == [
        "blank",
        "wave",
    ]


@pytest.mark.parametrize(
    ("params", "message"),
    [({"blank": "none"}, "blank .*none"), ({"threshold": 2}, "threshold"), ({"beam": 3}, "beam")],
)
def test_wrong_parameters_are_named(params, message):
    with pytest.raises(ModelError, match=message):
        build(params, LABELS)


def test_detections_are_refused():
    with pytest.raises(ModelError, match="not detections"):
        build({}, LABELS).update(step(0), Detections.empty())
