from __future__ import annotations

import numpy as np
import pytest

from edgenn.runtime.bench.chart import draw_latencies
from edgenn.runtime.bench.report import Case


def bar(image):
    """Columns of the longest bar."""
    blue = (image[:, :, 0] > 150) & (image[:, :, 2] < 60)
    return int(blue.sum(axis=1).max())


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_bars_are_as_long_as_the_medians(unit):
    def draw(p50):
        case = Case(file="a.onnx", engine="onnx", precision="fp32", threads=1, provider="cpu")
        return draw_latencies(
            "x", [case.model_copy(update={"p50_ms": p50 * unit, "p99_ms": 8 * unit})]
        )

    assert bar(draw(6)) == pytest.approx(3 * bar(draw(2)), abs=4)


def test_failed_cases_take_no_room():
    failed = Case(file="a.onnx", engine="onnx", precision="fp32", threads=1, error="no memory")
    assert draw_latencies("ü", [failed]).shape == draw_latencies("x", []).shape
    assert draw_latencies("x", []).dtype == np.uint8
