"""The numbers of a run in Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from edgenn.runtime.health import SinkCounts
from edgenn.runtime.web.board import BOUNDS_MS, Board, Buckets

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(board: Board) -> str:
    """All metrics, with a help and a type line each.

    The names::

        edgenn_model_info{model}                     1
        edgenn_frames_total                          frames or windows that gave a result
        edgenn_dropped_total                         what the source could not deliver
        edgenn_reconnects_total                      how often a live source came back
        edgenn_gaps_total                            where the stream was cut
        edgenn_bad_readings_total                    NaN or infinite, left out
        edgenn_carried_total                         results without inference: nothing moved
        edgenn_degrade_level                         0, or how many steps less is done
        edgenn_sink_dropped_total{sink}              what a sink could not take
        edgenn_sink_failed_total{sink}               what a sink could not write
        edgenn_sink_latency_seconds{sink,quantile}   from capture until it was written
        edgenn_events_total{label}                   events
        edgenn_latency_seconds{stage}                histogram: capture, inference, ..., total
        edgenn_result_age_seconds                    since the newest result
        edgenn_temperature_celsius{zone}             where the system has thermal zones
    """
    frames, stages, events, temperatures = board.numbers()
    dropped = board.dropped()
    lost = dropped.pop("source")
    health, sinks = board.health, dict(board.health.sinks)
    age = board.age()
    lines = [
        *_family("model_info", "gauge", "The model that runs.", "model", {board.model: 1}),
        *_family("frames_total", "counter", "Frames or windows with a result.", "", {"": frames}),
        *_family("dropped_total", "counter", "Lost by the source.", "", {"": lost}),
        *_family(
            "reconnects_total", "counter", "Returns of the source.", "", {"": health.reconnects}
        ),
        *_family("gaps_total", "counter", "Cuts of the stream.", "", {"": health.gaps}),
        *_family("bad_readings_total", "counter", "Readings left out.", "", {"": health.bad}),
        *_family(
            "carried_total", "counter", "Results without inference.", "", {"": health.carried}
        ),
        *_family("degrade_level", "gauge", "Steps that less is done.", "", {"": health.level}),
        *_family("sink_dropped_total", "counter", "Lost by a sink.", "sink", dropped),
        *_family(
            "sink_failed_total",
            "counter",
            "Not written by a sink.",
            "sink",
            {name: sink.failed for name, sink in sinks.items()},
        ),
        *_quantiles(sinks),
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


def _quantiles(sinks: Mapping[str, SinkCounts]) -> Iterator[str]:
    if not sinks:
        return
    yield "# HELP edgenn_sink_latency_seconds From capture until a sink had written."
    yield "# TYPE edgenn_sink_latency_seconds summary"
    for name, sink in sinks.items():
        for q in (0.5, 0.95, 0.99):
            mark = f'sink="{_escape(name)}",quantile="{q}"'
            seconds = sink.latency.percentile(100 * q) / 1000
            yield f"edgenn_sink_latency_seconds{{{mark}}} {seconds:.6f}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
