"""How good found events are: precision, recall, F1, delay and false alarms of whole streams.

A found event is right if a true event of the same label overlaps it by half:
intersection over union of the two stretches of time is at least 0.5, and no
earlier event was matched with the same truth. This is the segmental F1@50 of
Lea et al., "Temporal Convolutional Networks for Action Segmentation and
Detection", CVPR 2017, the usual measure for actions in streams: it forgives a
shift of the borders, which annotators do not agree on either, but neither a
gesture that is found in pieces nor two that are found as one. As no two true
events of a label overlap, at most one of them can be matched by more than half,
and the order of matching, by time, decides nothing else.

The delay of a right event is the time at which it was given out less the end of
the true one; below zero where it came while the gesture went on.

What is found and not right is of two kinds, as in Ward et al., "Performance
metrics for activity recognition", 2011. A false alarm (an insertion) lies mostly
where no gesture was made, and is counted per hour of stream. A confusion lies on a
gesture: of another label (a substitution), or of the same one but in pieces, twice,
or with too little of its extent. Both cost precision.

Nothing is known of unlabelled stretches: what is found mostly within one counts
neither way, and their time is not part of the hours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from edgenn.data import Recording
from edgenn.types import Event

OVERLAP = 0.5
# Names under which data sets have a class for doing nothing.
BACKGROUND = ("none", "background", "nothing", "null", "negative", "no gesture", "no_gesture")


@dataclass(frozen=True, slots=True)
class Stream:
    """What happened in one stream, and what was found.

    Attributes:
        name: Of the recording.
        truth: True events, in order of time.
        found: Found events, each with the time in seconds at which it was given out.
        seconds: Length of the stream without its unlabelled stretches.
        unknown: Start and end of unlabelled stretches, seconds.
    """

    name: str
    truth: tuple[Event, ...]
    found: tuple[tuple[Event, float], ...]
    seconds: float
    unknown: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class EventMetrics:
    """What was measured, over all streams together.

    Attributes:
        f1: Harmonic mean of precision and recall, 0..1.
        precision: Share of the found events that are right; 0 where none was found.
        recall: Share of the true events that were found; 0 where there are none.
        delay_ms: Median of the delay after the end of a gesture, in milliseconds;
            None where nothing was right.
        delay_p90_ms: Its 90th percentile.
        false_alarms: Found events where no gesture was made, per hour.
        confusions: Found events on a gesture that are not right.
        true: Number of true events.
        found: Number of found events.
        right: Number of found events that are right.
        hours: Length of the streams.
        per_class: The same for each label that occurs in truth or findings.
    """

    f1: float
    precision: float
    recall: float
    delay_ms: float | None
    delay_p90_ms: float | None
    false_alarms: float
    confusions: int
    true: int
    found: int
    right: int
    hours: float
    per_class: Mapping[str, EventMetrics] = field(default_factory=dict)

    def flat(self) -> dict[str, float]:
        """All numbers by name, those of a class as "class/NAME/..."; no delay where none is."""
        numbers: dict[str, float | None] = {
            "event_f1": self.f1,
            "event_precision": self.precision,
            "event_recall": self.recall,
            "delay_ms": self.delay_ms,
            "delay_p90_ms": self.delay_p90_ms,
            "false_alarms_per_hour": self.false_alarms,
            "confusions": self.confusions,
            "true_events": self.true,
            "found_events": self.found,
            "right_events": self.right,
            "hours": self.hours,
        }
        flat = {name: value for name, value in numbers.items() if value is not None}
        for label, part in self.per_class.items():
            own = part.flat()
            del own["hours"]  # those of all streams
            flat |= {f"class/{label}/{name}": value for name, value in own.items()}
        return flat


def measure(streams: Iterable[Stream]) -> EventMetrics:
    """Measure all streams together."""
    true: Counter[str] = Counter()
    found: Counter[str] = Counter()
    alarms: Counter[str] = Counter()
    delays: dict[str, list[float]] = defaultdict(list)
    seconds = 0.0
    for stream in streams:
        counted = [i for i, (event, _) in enumerate(stream.found) if not _is_unknown(event, stream)]
        true.update(event.label for event in stream.truth)
        found.update(stream.found[i][0].label for i in counted)
        seconds += stream.seconds
        matched = match(stream.truth, [event for event, _ in stream.found])
        alarms.update(
            stream.found[i][0].label
            for i in counted
            if i not in matched and not _is_on_a_gesture(stream.found[i][0], stream)
        )
        for i, j in matched.items():
            event, given = stream.found[i]
            delays[event.label].append((given - stream.truth[j].end) * 1e3)
            if i not in counted:  # right all the same: the truth beside it reaches in
                found[event.label] += 1
    hours = seconds / 3600
    labels = sorted({*true, *found})
    per_class = {
        name: _metrics((true[name], found[name], alarms[name]), delays[name], hours)
        for name in labels
    }
    every = [delay for name in labels for delay in delays[name]]
    return _metrics((true.total(), found.total(), alarms.total()), every, hours, per_class)


def match(truth: Sequence[Event], found: Sequence[Event]) -> dict[int, int]:
    """Which found event stands for which true one, by their indices; each at most once."""
    matched: dict[int, int] = {}
    free: dict[str, list[int]] = defaultdict(list)
    for j, event in enumerate(truth):
        free[event.label].append(j)
    for i in sorted(range(len(found)), key=lambda i: found[i].start):
        rivals = free[found[i].label]
        best = max(rivals, key=lambda j: overlap(truth[j], found[i]), default=None)
        if best is not None and overlap(truth[best], found[i]) >= OVERLAP:
            matched[i] = best
            rivals.remove(best)
    return matched


def overlap(a: Event, b: Event) -> float:
    """Intersection over union of two stretches of time, 0..1."""
    union = max(a.end, b.end) - min(a.start, b.start)
    # Where they do not touch, the union is wrong but the intersection is none.
    shared = min(a.end, b.end) - max(a.start, b.start)
    return max(0.0, shared) / union if union > 0 else 0.0


def true_events(
    recording: Recording, labels: Sequence[str], background: Collection[int] = ()
) -> tuple[Event, ...]:
    """Events that the classes of readings mean: each run of one class.

    Args:
        recording: Its first reading is at 0 seconds.
        labels: Names of the classes.
        background: Classes that are no event; -1, unlabelled, never is one.

    Returns:
        In order of time, from the first to the last reading of the run, with score 1.
    """
    skipped = {-1, *background}
    return tuple(
        Event(labels[class_id], start / recording.rate, (stop - 1) / recording.rate, 1.0)
        for class_id, start, stop in _runs(recording)
        if class_id not in skipped
    )


def stream_of(
    recording: Recording,
    labels: Sequence[str],
    background: Collection[int],
    found: Sequence[tuple[Event, float]],
) -> Stream:
    """What happened in a recording, together with what was found; see `true_events`."""
    rate = recording.rate
    unknown = [(start, stop) for class_id, start, stop in _runs(recording) if class_id == -1]
    readings = len(recording.class_ids) - sum(stop - start for start, stop in unknown)
    return Stream(
        recording.name,
        true_events(recording, labels, background),
        tuple(found),
        readings / rate,
        tuple((start / rate, (stop - 1) / rate) for start, stop in unknown),
    )


def background_labels(
    labels: Sequence[str], temporal: Mapping[str, Mapping[str, Any]]
) -> tuple[str, ...]:
    """Labels of doing nothing: those that a temporal stage names so, else those that sound so."""
    named = {
        *temporal.get("gestures", {}).get("background", ()),
        *temporal.get("smoothing", {}).get("ignore", ()),
    }
    if "ctc" in temporal:
        named.add(temporal["ctc"].get("blank") or labels[0])
    return tuple(x for x in labels if x in named or (not named and x.lower() in BACKGROUND))


def _is_on_a_gesture(event: Event, stream: Stream) -> bool:
    """Whether at least half of a found event lies on true ones, whatever their label."""
    shared = sum(
        max(0.0, min(event.end, true.end) - max(event.start, true.start)) for true in stream.truth
    )
    return shared >= OVERLAP * (event.end - event.start) and shared > 0


def _metrics(
    counts: tuple[int, int, int],
    delays: Sequence[float],
    hours: float,
    per_class: Mapping[str, EventMetrics] | None = None,
) -> EventMetrics:
    """Of the numbers of true events, of found ones, and of false alarms."""
    true, found, alarms = counts
    right = len(delays)
    ordered = sorted(delays)
    return EventMetrics(
        f1=2 * right / max(1, true + found),
        precision=right / max(1, found),
        recall=right / max(1, true),
        delay_ms=_percentile(ordered, 0.5),
        delay_p90_ms=_percentile(ordered, 0.9),
        false_alarms=alarms / hours if hours else 0.0,
        confusions=found - right - alarms,
        true=true,
        found=found,
        right=right,
        hours=hours,
        per_class=per_class or {},
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """As numpy interpolates it, which takes far longer for a few values."""
    if not ordered:
        return None
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def _is_unknown(event: Event, stream: Stream) -> bool:
    """Whether more than half of it lies where nothing is labelled."""
    hidden = sum(
        max(0.0, min(event.end, end) - max(event.start, start)) for start, end in stream.unknown
    )
    return hidden > 0.5 * (event.end - event.start)


def _runs(recording: Recording) -> Iterator[tuple[int, int, int]]:
    """Class, first reading and the reading after the last one of every run of one class."""
    ids = recording.class_ids
    cuts = [0, *(np.flatnonzero(np.diff(ids)) + 1).tolist(), len(ids)]
    for start, stop in pairwise(cuts):
        if start < stop:
            yield int(ids[start]), start, stop
