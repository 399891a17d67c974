"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

NO_DATA = "EDGENN_DATA is not set: it names the folder with the real data sets"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets; tests that need it skip where there is none."""
    folder = os.environ.get("EDGENN_DATA")
    if not folder:
        pytest.skip(NO_DATA)
    return Path(folder).resolve()


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
