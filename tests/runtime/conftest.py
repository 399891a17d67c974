from __future__ import annotations

import pytest

import edgenn


@pytest.fixture
def squares(tiny):
    return edgenn.load(tiny / "tiny-detect.edgenn")


@pytest.fixture
def levels(tiny):
    return edgenn.load(tiny / "tiny-sequence.edgenn")
