"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real data sets; tests that need it skip where there is none."""
    folder = os.environ.get("EDGENN_DATA")
    if not folder:
        pytest.skip("EDGENN_DATA is not set: it names the folder with the real data sets")
    return Path(folder).resolve()
