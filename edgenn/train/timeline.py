"""A picture of streams: what happened and what was found, one above the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from edgenn.bundle.store import atomically
from edgenn.train.events import Stream, match
from edgenn.types import Event

MAX_STREAMS = 6
# Longer streams are cut to the stretch with the most mistakes, or nothing could be seen.
MAX_SECONDS = 120.0
Colour = tuple[float, float, float]


def timeline(streams: Sequence[Stream], path: Path) -> None:
    """Draw the streams with the most mistakes.

    True events are above, found ones below; what was missed and what is a false
    alarm is hatched.

    Args:
        streams: At least one.
        path: PNG to write.
    """
    worst = sorted(streams, key=lambda stream: (-mistakes(stream), stream.name))[:MAX_STREAMS]
    labels = sorted({e.label for s in streams for e in (*s.truth, *(f for f, _ in s.found))})
    palette = mpl.colormaps["tab20"]
    colours: dict[str, Colour] = {x: palette(i % 20)[:3] for i, x in enumerate(labels)}
    figure = Figure(figsize=(14, 0.8 + 1.4 * len(worst)), layout="constrained")
    rows = figure.subplots(len(worst), 1, squeeze=False)[:, 0]
    for axes, stream in zip(rows, worst, strict=True):
        _draw(axes, stream, colours)
    rows[-1].set_xlabel("seconds")
    if labels:
        handles = [Patch(color=colour, label=label) for label, colour in colours.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=7)

    def write(temporary: Path) -> None:
        figure.savefig(temporary, format="png", dpi=110, bbox_inches="tight", pad_inches=0.1)

    atomically(path, write)


def mistakes(stream: Stream) -> int:
    """Events that are missed, and false alarms."""
    return len(stream.truth) + len(stream.found) - 2 * len(match(stream.truth, _found(stream)))


def _draw(axes: Axes, stream: Stream, colours: Mapping[str, Colour]) -> None:
    found = _found(stream)
    matched = match(stream.truth, found)
    hit = set(matched.values())
    wrong = [event for j, event in enumerate(stream.truth) if j not in hit]
    wrong += [event for i, event in enumerate(found) if i not in matched]
    start = _busiest(wrong)
    for row, events, right in ((1, stream.truth, hit), (0, found, set(matched))):
        for i, event in enumerate(events):
            axes.broken_barh(
                [(event.start, max(event.end - event.start, 0.02))],
                (row + 0.1, 0.8),
                facecolor=(*colours[event.label], 1.0 if i in right else 0.45),
                hatch="" if i in right else "////",
                edgecolor="black",
                linewidth=0.5,
            )
    end = max((event.end for event in (*stream.truth, *found)), default=1.0)
    axes.set_xlim(start, min(start + MAX_SECONDS, max(end, start + 1.0)))
    axes.set(ylim=(0, 2), title=f"{stream.name}: {len(wrong)} mistakes")
    axes.set_yticks([0.5, 1.5], ["found", "true"])
    axes.title.set_fontsize(9)


def _busiest(wrong: Sequence[Event]) -> float:
    """Where to begin, so that most of the mistakes can be seen; 0 where the beginning will do."""
    starts = [0.0, *(max(0.0, event.start - 5.0) for event in wrong)]
    seen = [sum(at <= e.start < at + MAX_SECONDS for e in wrong) for at in starts]
    return starts[seen.index(max(seen))]


def _found(stream: Stream) -> list[Event]:
    return [event for event, _ in stream.found]
