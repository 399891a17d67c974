"""Decoding of nets trained with connectionist temporal classification (CTC).

Such a net gives one distribution per frame over its symbols and a blank. A path
collapses to a sequence of symbols: repeats are merged, then blanks dropped.

Graves et al., "Connectionist Temporal Classification", ICML 2006; the beam
search as in Hannun et al., "First-Pass Large Vocabulary Continuous Speech
Recognition using Bi-Directional Recurrent DNNs", 2014, without a language model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edgenn.types import Floats

_NEVER = -np.inf


@dataclass(frozen=True, slots=True)
class Span:
    """One symbol of a decoded sequence and the frames that stand for it.

    Attributes:
        class_id: The symbol.
        start: Its first frame.
        stop: The frame after its last one.
        score: Its highest probability in these frames, 0..1.
    """

    class_id: int
    start: int
    stop: int
    score: float


def best_path(log_probs: Floats, blank: int = 0) -> list[Span]:
    """The symbols of the likeliest path: the best one of every frame, collapsed.

    Args:
        log_probs: (T, K) natural logarithms of probabilities.
        blank: Index of the blank.
    """
    return _spans(log_probs, log_probs.argmax(axis=1), blank)


def beam_search(
    log_probs: Floats, blank: int = 0, width: int = 16, least: float = 1e-4
) -> list[tuple[tuple[int, ...], float]]:
    """Likeliest sequences: probabilities of all paths that collapse to one are summed.

    Args:
        log_probs: (T, K) natural logarithms of probabilities.
        blank: Index of the blank.
        width: Sequences kept from frame to frame.
        least: Symbols with a lower probability in a frame are not tried there.

    Returns:
        At most ``width`` pairs of symbols and natural logarithm of their
        probability, best first.
    """
    # Log-probabilities of each prefix ending in a blank, and ending in its last symbol.
    beam: dict[tuple[int, ...], tuple[float, float]] = {(): (0.0, _NEVER)}
    floor = np.log(least) if least > 0 else _NEVER
    for row in np.asarray(log_probs, np.float64):
        tried = [(int(k), float(row[k])) for k in np.flatnonzero(row >= floor) if k != blank]
        beam = _best(_extended(beam, row, blank, tried), width)
    return [(prefix, _total(ends)) for prefix, ends in beam.items()]


def align(log_probs: Floats, symbols: Sequence[int], blank: int = 0) -> list[Span]:
    """Where in time the symbols of a known sequence lie: its likeliest path (Viterbi).

    Args:
        log_probs: (T, K) natural logarithms of probabilities.
        symbols: None of them the blank.
        blank: Index of the blank.

    Returns:
        One span per symbol; empty where the sequence is not possible in T frames.
    """
    if not len(log_probs):
        return []
    # Every symbol with a blank before it, and one at the end.
    states = np.full(2 * len(symbols) + 1, blank)
    states[1::2] = symbols
    skips = np.zeros(len(states), bool)  # from symbol to symbol, unless they are the same
    skips[3::2] = states[3::2] != states[1:-2:2]
    emitted = np.asarray(log_probs, np.float64)[:, states]
    score = np.full(len(states), _NEVER)
    score[:2] = emitted[0, :2]
    back = np.zeros(emitted.shape, np.int64)
    for t in range(1, len(emitted)):
        stay, step, skip = score, _shifted(score, 1), _shifted(score, 2)
        choices = np.stack([stay, step, np.where(skips, skip, _NEVER)])
        back[t] = choices.argmax(axis=0)
        score = choices.max(axis=0) + emitted[t]
    at = len(states) - 1
    if len(states) > 1 and score[at - 1] > score[at]:
        at -= 1
    if score[at] == _NEVER:
        return []
    path = np.empty(len(emitted), np.int64)
    for t in range(len(emitted) - 1, -1, -1):
        path[t] = at
        at -= int(back[t, at])
    spans = []
    for i, symbol in enumerate(symbols):
        frames = np.flatnonzero(path == 2 * i + 1)
        start, stop = int(frames[0]), int(frames[-1]) + 1
        spans.append(_span(log_probs, int(symbol), start, stop))
    return spans


def _spans(log_probs: Floats, path: NDArray[np.int64], blank: int) -> list[Span]:
    cuts = [0, *(np.flatnonzero(np.diff(path)) + 1).tolist(), len(path)]
    return [
        _span(log_probs, int(path[start]), start, stop)
        for start, stop in pairwise(cuts)
        if start < stop and path[start] != blank
    ]


def _span(log_probs: Floats, symbol: int, start: int, stop: int) -> Span:
    return Span(symbol, start, stop, float(np.exp(log_probs[start:stop, symbol].max())))


def _shifted(score: NDArray[np.float64], by: int) -> NDArray[np.float64]:
    moved = np.full(len(score), _NEVER)
    moved[by:] = score[: max(0, len(score) - by)]
    return moved


def _extended(
    beam: dict[tuple[int, ...], tuple[float, float]],
    row: NDArray[np.float64],
    blank: int,
    tried: Sequence[tuple[int, float]],
) -> dict[tuple[int, ...], tuple[float, float]]:
    """All prefixes that one more frame makes of those of the beam."""
    found: dict[tuple[int, ...], list[float]] = defaultdict(lambda: [_NEVER, _NEVER])
    for prefix, (in_blank, in_symbol) in beam.items():
        total = _add(in_blank, in_symbol)
        same = found[prefix]
        same[0] = _add(same[0], total + float(row[blank]))
        last = prefix[-1] if prefix else None
        if last is not None:
            same[1] = _add(same[1], in_symbol + float(row[last]))
        for symbol, log_p in tried:
            # The same symbol twice needs a blank in between.
            before = in_blank if symbol == last else total
            if before > _NEVER:
                longer = found[(*prefix, symbol)]
                longer[1] = _add(longer[1], before + log_p)
    return {prefix: (ends[0], ends[1]) for prefix, ends in found.items()}


def _best(
    beam: dict[tuple[int, ...], tuple[float, float]], width: int
) -> dict[tuple[int, ...], tuple[float, float]]:
    # The prefix itself decides between equals, so that the result is the same on every machine.
    ranked = sorted(beam.items(), key=lambda entry: (-_total(entry[1]), entry[0]))
    return dict(ranked[:width])


def _total(ends: tuple[float, float]) -> float:
    return _add(*ends)


def _add(a: float, b: float) -> float:
    """Logarithm of the sum of two probabilities given as logarithms."""
    return float(np.logaddexp(a, b))
