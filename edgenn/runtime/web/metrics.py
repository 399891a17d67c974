"""The numbers of a run in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from edgenn.runtime.web.board import BOUNDS_MS, Board, Buckets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(board: Board) -> str:
    """All metrics, with a help and a type line each.

    The names::

        edgenn_model_info{model}                     1
        edgenn_frames_total                          frames or windows that gave a result
        edgenn_dropped_total                         what the source could not deliver
        edgenn_sink_dropped_total{sink}              what a sink could not take
        edgenn_events_total{label}                   events
        edgenn_latency_seconds{stage}                histogram: capture, inference, ..., total
        edgenn_result_age_seconds                    since the newest result
        edgenn_temperature_celsius{zone}             where the system has thermal zones
    """
    frames, stages, events, temperatures = board.numbers()
    dropped = board.dropped()
    lost = dropped.pop("source")
    age = board.age()
    lines = [
        *_family("model_info", "gauge", "The model that runs.", "model", {board.model: 1}),
        *_family("frames_total", "counter", "Frames or windows with a result.", "", {"": frames}),
        *_family("dropped_total", "counter", "Lost by the source.", "", {"": lost}),
        *_family("sink_dropped_total", "counter", "Lost by a sink.", "sink", dropped),
        *_family("events_total", "counter", "Events by label.", "label", events),
        *_histogram(stages),
        *_family(
            "result_age_seconds",
            "gauge",
            "Since the newest result.",
            "",
            {} if age is None else {"": age},
        ),
        *_family("temperature_celsius", "gauge", "Thermal zones.", "zone", temperatures),
    ]
    return "\n".join(lines) + "\n"


def _family(
    name: str, kind: str, what: str, label: str, values: Mapping[str, float]
) -> Iterator[str]:
    if not values:
        return
    yield f"# HELP edgenn_{name} {what}"
    yield f"# TYPE edgenn_{name} {kind}"
    for key, value in values.items():
        mark = f'{{{label}="{_escape(key)}"}}' if label else ""
        yield f"edgenn_{name}{mark} {value}"


def _histogram(stages: Mapping[str, Buckets]) -> Iterator[str]:
    if not stages:
        return
    yield "# HELP edgenn_latency_seconds Time that a frame or window spent, by stage."
    yield "# TYPE edgenn_latency_seconds histogram"
    bounds = [f"{ms / 1000:g}" for ms in BOUNDS_MS] + ["+Inf"]
    for stage, buckets in stages.items():
        mark = f'stage="{_escape(stage)}"'
        sums = list(accumulate(buckets.counts))
        for bound, count in zip(bounds, sums, strict=True):
            yield f'edgenn_latency_seconds_bucket{{{mark},le="{bound}"}} {count}'
        yield f"edgenn_latency_seconds_sum{{{mark}}} {buckets.total_ms / 1000}"
        yield f"edgenn_latency_seconds_count{{{mark}}} {sums[-1]}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
