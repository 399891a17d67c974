"""Bars of the latencies as a picture, drawn with OpenCV, as a device has nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10

import cv2
import numpy as np

from edgenn.runtime.bench.report import Case
from edgenn.types import Image

_WIDTH, _LEFT, _RIGHT, _TOP, _ROW = 1000, 330, 130, 70, 34
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _GRID = (40, 40, 40), (225, 225, 225)
_COLOURS = {"onnx": (180, 119, 31), "litert": (14, 127, 255)}  # BGR


def draw_latencies(title: str, cases: Sequence[Case]) -> Image:
    """A bar to the median of each case and a line from there to its 99th percentile.

    Args:
        title: Above the bars.
        cases: Those that failed are left out.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    shown = [case for case in cases if not case.error]
    height = _TOP + _ROW * len(shown) + 50
    image = np.full((height, _WIDTH, 3), 255, np.uint8)
    # OpenCV's fonts have ASCII only.
    _write(image, title.encode("ascii", "replace").decode(), (16, 28), 0.62)
    _write(image, "ms per inference: bar and number = median, line = up to p99", (16, 52), 0.45)
    longest = max((case.p99_ms for case in shown), default=1.0)
    per_ms = (_WIDTH - _LEFT - _RIGHT) / max(longest, 1e-6)
    bottom = _TOP + _ROW * len(shown)
    for mark in _marks(longest):
        x = int(_LEFT + mark * per_ms)
        cv2.line(image, (x, _TOP), (x, bottom), _GRID, 1)
        _write(image, f"{mark:g}", (x - 8, bottom + 20), 0.42)
    for i, case in enumerate(shown):
        y = _TOP + _ROW * i
        _bar(image, case, y, per_ms)
    return image


def _bar(image: Image, case: Case, y: int, per_ms: float) -> None:
    threads = "1 thread" if case.threads == 1 else f"{case.threads or 'auto'} threads"
    where = "" if case.provider == "cpu" else f" {case.provider}"
    _write(image, f"{case.file}, {threads}{where}", (16, y + 22), 0.45)
    middle, end = int(_LEFT + case.p50_ms * per_ms), int(_LEFT + case.p99_ms * per_ms)
    colour = _COLOURS.get(case.engine, (120, 120, 120))
    cv2.rectangle(image, (_LEFT, y + 7), (middle, y + _ROW - 7), colour, -1)
    cv2.line(image, (middle, y + _ROW // 2), (end, y + _ROW // 2), _INK, 2)
    cv2.line(image, (end, y + 12), (end, y + _ROW - 12), _INK, 2)
    _write(image, f"{case.p50_ms:.3g}", (end + 8, y + 22), 0.45)


def _marks(longest: float) -> list[float]:
    """Up to ten round numbers from 0 on."""
    step = 10.0 ** floor(log10(max(longest, 1e-6)))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if longest / s <= 9)
    return [step * i for i in range(int(longest / step) + 1)]


def _write(image: Image, text: str, at: tuple[int, int], size: float) -> None:
    cv2.putText(image, text, at, _FONT, size, _INK, 1, cv2.LINE_AA)
