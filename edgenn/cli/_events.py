"""What several commands say of events, in the same words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgenn.cli._table import echo_table

if TYPE_CHECKING:
    from edgenn.train.events import EventMetrics


def echo_events(*columns: EventMetrics, heads: tuple[str, ...] = ("value",)) -> None:
    """Print event metrics, a column each."""
    rows = {
        "event F1": [f"{m.f1:.4f}" for m in columns],
        "event precision": [f"{m.precision:.4f}" for m in columns],
        "event recall": [f"{m.recall:.4f}" for m in columns],
        "delay p50/p90 ms": [_delay(m) for m in columns],
        "false alarms per hour": [f"{m.false_alarms:.1f}" for m in columns],
        "confusions": [str(m.confusions) for m in columns],
        "true/found/right": [f"{m.true}/{m.found}/{m.right}" for m in columns],
    }
    echo_table(["events", *heads], [[name, *cells] for name, cells in rows.items()])


def _delay(metrics: EventMetrics) -> str:
    if metrics.delay_ms is None or metrics.delay_p90_ms is None:
        return "none"
    return f"{metrics.delay_ms:.0f}/{metrics.delay_p90_ms:.0f}"
