"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest_plugins = ("chromium", "generated", "rtsp_server", "update_rig")

_LONG = ("train", "integration", "export", "deploy")
NO_DATA = "EDGENN_DATA is not set: it names the folder with the real data sets"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets; tests that need it skip where there is none."""
    folder = os.environ.get("EDGENN_DATA")
    if not folder:
        pytest.skip(NO_DATA)
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def tiny() -> Path:
    """Folder of tiny-detect, tiny-classify and tiny-sequence; see tests/light/make_tiny.py."""
    return Path(__file__).parent / "assets"


@pytest.fixture
def clip(tmp_path) -> Path:
    """20 frames at 10 per second: tiny-detect sees a red square, from frame 10 a blue one too."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (128, 96))
    for i in range(20):
        image = np.full((96, 128, 3), 20, np.uint8)
        image[16:32, 16:32] = (0, 0, 255)
        if i >= 10:
            image[48:64, 80:96] = (255, 0, 0)
        writer.write(image)
    writer.release()
    return path


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Folder of shot1 (green), shot2 (red) and shot10 (blue), as tiny-classify names them."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("shot10", (255, 0, 0)), ("shot2", (0, 0, 255)), ("shot1", (0, 255, 0))):
        cv2.imwrite(str(folder / f"{name}.png"), np.full((40, 50, 3), colour, np.uint8))
    return folder


@pytest.fixture
def recording(tmp_path) -> Path:
    """15 s at 20 readings a second, of which tiny-sequence finds 5 s each low, middle, high."""
    path = tmp_path / "recording.csv"
    noise = np.random.default_rng(0).normal(0, 0.2, (300, 2))
    rows = [f"{i / 20:.3f},{y:.4f},{x + 3 * (i // 100 - 1):.4f}" for i, (x, y) in enumerate(noise)]
    path.write_text("time,y,x\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def pytest_collection_modifyitems(items) -> None:
    """Files that take longest come first, so that several workers end together."""
    items.sort(key=lambda item: item.path.parent.name not in _LONG)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """With EDGENN_CI=1 a skipped test is a failed one."""
    report = yield
    return _no_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[None]:
    """The same for files that skip themselves while they are imported."""
    report = yield
    return _no_skip(report)


def _no_skip(report):
    if os.environ.get("EDGENN_CI") and report.skipped and not hasattr(report, "wasxfail"):
        *_, reason = report.longrepr
        if NO_DATA not in reason:
            report.outcome = "failed"
            report.longrepr = f"skipped, which EDGENN_CI forbids: {reason}"
    return report


@pytest.fixture
def heeded():
    """Ctrl-C and a hang-up do what they usually do, also under nohup and behind an ``&``."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    before = {number: signal.signal(number, how) for number, how in usual.items()}
    yield
    for number, how in before.items():
        signal.signal(number, how)
