"""What may be wrong with a pass, said at its end."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from rig import CELLS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from __main__ import Soak

RECOVER_S = 30.0  # the longest pause of a live source that failed
_GROWTH_MB = 5.0


class Line(NamedTuple):
    """One result: seconds since the beginning, its frame, whether MQTT sent it, and in which
    cell of the picture the square was, which tells the frames of the camera apart.
    """

    at: float
    frame: int
    sent: bool
    cell: int | None


def judge(soak: Soak) -> list[str]:
    """Sentences; none where all is well."""
    wrong = [*_order(soak), *_delivery(soak)]
    for entry in soak.done:
        wrong += _around(soak, entry)
    if len(soak.samples) > 20:
        wrong += _growth(soak)
    return wrong


def _order(soak: Soak) -> Iterator[str]:
    if not soak.lines:
        yield "no results at all"
    if any(b.frame <= a.frame for a, b in pairwise(soak.lines)):
        yield "frames in the results do not rise"
    # Damaged pictures show anything.
    damaged = [(e["begin"], e["end"] + 2) for e in soak.done if e["fault"] == "corrupt"]
    seen = [
        line
        for line in soak.lines
        if line.cell is not None and not any(a < line.at < b for a, b in damaged)
    ]
    back = [b for a, b in pairwise(seen) if b.at - a.at < 3 and _steps(a, b) > CELLS // 2]
    if back:
        yield f"the pictures went back {len(back)} times, first at {back[0].at:.0f} s"


def _steps(a: Line, b: Line) -> int:
    assert a.cell is not None
    assert b.cell is not None
    return (b.cell - a.cell) % CELLS


def _delivery(soak: Soak) -> Iterator[str]:
    seen: set[int] = set()
    highest = -1
    for frame in soak.broker.frames:
        if frame < highest and frame not in seen:
            yield f"MQTT: frame {frame} came late"
        seen.add(frame)
        highest = max(highest, frame)
    lost = {line.frame for line in soak.lines if line.sent} - seen
    soak.lost = len(lost)
    if lost:
        yield f"MQTT lost {len(lost)} of {len(soak.lines)} results, {min(lost)} first"


def _around(soak: Soak, entry: dict) -> Iterator[str]:
    """Threads, descriptors and readiness around one fault."""
    begin, end, name = entry["begin"], entry["end"], entry["fault"]
    quiet = name in ("stall", "cut") and end - begin > 8
    if quiet and not any(begin < t < end + 1 for t in soak.downs):
        yield f"{name} at {begin:.0f} s: /readyz never said so"
    before = [s for s in soak.samples if s["t"] < begin]
    after = [s for s in soak.samples if end < s["t"] < end + RECOVER_S + 15]
    for what in ("threads", "fds"):
        if before and after:
            usual, least = max(s[what] for s in before), min(s[what] for s in after)
            if least > usual:
                yield f"{name} at {end:.0f} s: {least} {what}, before {usual}"


def _growth(soak: Soak) -> Iterator[str]:
    """Memory, threads and descriptors at the end against those after the warm-up."""
    warm = max(0.2 * soak.samples[-1]["t"], min(60.0, 0.4 * soak.samples[-1]["t"]))
    rest = [s for s in soak.samples if s["t"] > warm]
    part = max(3, len(rest) // 10)

    def grown(what: str) -> float:
        values = [s[what] for s in rest]
        return float(np.median(values[-part:]) - np.median(values[:part]))

    soak.grown = {what: grown(what) for what in ("anon_mb", "threads", "fds")}
    hours, values = [s["t"] / 3600 for s in rest], [s["anon_mb"] for s in rest]
    soak.slope = float(np.polyfit(hours, values, 1)[0])
    if soak.grown["anon_mb"] > _GROWTH_MB:
        yield f"memory grew by {soak.grown['anon_mb']:.1f} MB after the warm-up"
    for what in ("threads", "fds"):
        # The watcher of the page and one connection of the webhook come and go.
        if soak.grown[what] > 2:
            yield f"{what} grew by {soak.grown[what]:.0f} after the warm-up"
