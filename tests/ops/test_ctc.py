from __future__ import annotations

from collections import defaultdict
from itertools import groupby, product

import numpy as np
import pytest

from edgenn.ops.ctc import Span, align, beam_search, best_path


def random(frames: int, symbols: int, seed: int) -> np.ndarray:
    probs = np.random.default_rng(seed).dirichlet(np.ones(symbols), frames)
    return np.log(probs).astype(np.float32)


def collapse(path, blank):
    return tuple(k for k, _ in groupby(path) if k != blank)


def by_hand(log_probs, blank):
    """Probability of every sequence, over all paths."""
    frames, symbols = log_probs.shape
    total: dict[tuple[int, ...], float] = defaultdict(float)
    for path in product(range(symbols), repeat=frames):
        total[collapse(path, blank)] += float(np.exp(log_probs[range(frames), path].sum()))
    return total


def test_best_path_merges_repeats_and_drops_blanks():
    path = [0, 1, 1, 0, 1, 2, 2, 0]
    probs = np.full((8, 3), 0.1, np.float32)
    probs[range(8), path] = 0.8
    probs[2, 1] = 0.85
    assert best_path(np.log(probs), 0) == [
        Span(1, 1, 3, pytest.approx(0.85)),
        Span(1, 4, 5, pytest.approx(0.8)),
        Span(2, 5, 7, pytest.approx(0.8)),
    ]


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_the_probability_of_every_sequence(blank, seed):
    log_probs = random(5, 3, seed)
    truth = by_hand(log_probs, blank)
    found = beam_search(log_probs, blank, width=1000, least=0.0)
    assert {s for s, _ in found} == set(truth)
    assert {s: np.exp(p) for s, p in found} == pytest.approx(dict(truth), rel=1e-4)
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)


def test_the_likeliest_sequence_need_not_be_that_of_the_likeliest_path():
    # Graves's example: blank is the best of both frames, but three paths mean "1".
    log_probs = np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    assert best_path(log_probs, 0) == []
    assert beam_search(log_probs, 0)[0][0] == (1,)
    assert np.exp(beam_search(log_probs, 0)[0][1]) == pytest.approx(0.64)


def test_a_narrow_beam_keeps_as_many_as_it_is_wide():
    assert len(beam_search(random(30, 8, 0), 0, width=4)) == 4


@pytest.mark.parametrize("seed", range(4))
def test_alignment_is_the_likeliest_path_of_its_sequence(seed):
    log_probs = random(6, 3, seed)
    paths = [p for p in product(range(3), repeat=6) if collapse(p, 0) == (1, 1, 2)]
    best = max(paths, key=lambda p: log_probs[range(6), p].sum())
    spans = align(log_probs, (1, 1, 2), 0)
    drawn = [0] * 6
    for span in spans:
        drawn[span.start : span.stop] = [span.class_id] * (span.stop - span.start)
    assert drawn == list(best)
    assert [s.class_id for s in spans] == [1, 1, 2]


def test_what_does_not_fit_has_no_alignment():
    log_probs = random(3, 3, 0)
    assert align(log_probs, (1, 1, 2), 0) == []  # needs a blank between the two
    assert len(align(log_probs, (1, 2, 1), 0)) == 3
    assert align(log_probs, (), 0) == []
    assert align(log_probs[:0], (1,), 0) == []


def test_no_frames_are_no_symbols():
    none = np.zeros((0, 3), np.float32)
    assert best_path(none) == []
    assert beam_search(none) == [((), 0.0)]
