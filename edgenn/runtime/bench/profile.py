"""What each operator takes, from the profile that ONNX Runtime writes, or one in its form."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from edgenn.runtime.bench.report import Op, Profile

_SLOWEST = 10
_KERNEL = "_kernel_time"


def read_profile(path: Path, warm_up: int) -> Profile | None:
    """Read a profile.

    Args:
        path: The JSON that an engine wrote: a list of events with durations in microseconds.
        warm_up: Inferences at the beginning that are left out.

    Returns:
        None where no operator was timed often enough, or all took less than a microsecond.
    """
    return summarize(json.loads(path.read_text(encoding="utf-8")), warm_up)


def summarize(events: Sequence[Mapping[str, Any]], warm_up: int) -> Profile | None:
    """The same of the events in it."""
    times: dict[tuple[str, str, str], list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(_KERNEL):
            continue
        args = event["args"]
        key = (name[: -len(_KERNEL)], str(args["op_name"]), str(args.get("provider", "")))
        times.setdefault(key, []).append(float(event["dur"]))
    warm = {key: row[warm_up:] for key, row in times.items() if len(row) > warm_up}
    if not warm:
        return None
    each = {key: _usual(row) for key, row in warm.items()}
    total = sum(each.values())
    if not total:
        return None
    types: dict[tuple[str, str], list[float]] = {}
    for (_, kind, provider), us in each.items():
        types.setdefault((kind, provider), []).append(us)
    return Profile(
        runs=max(map(len, warm.values())),
        types=_ranked(
            Op(name=kind, provider=p, count=len(us), us=sum(us), share=sum(us) / total)
            for (kind, p), us in types.items()
        ),
        nodes=_ranked(
            Op(name=node or kind, provider=p, count=1, us=us, share=us / total)
            for (node, kind, p), us in each.items()
        )[:_SLOWEST],
    )


def _usual(times: list[float]) -> float:
    """Mean of the middle half: engines tell whole microseconds, of which a median is one too."""
    quarter = len(times) // 4
    return fmean(sorted(times)[quarter : len(times) - quarter])


def _ranked(ops: Any) -> tuple[Op, ...]:  # noqa: ANN401  a generator
    return tuple(sorted(ops, key=lambda op: -op.us))
