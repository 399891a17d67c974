from __future__ import annotations

import os

import pytest

from edgenn.deploy.remote.talk import Line


@pytest.fixture
def line():
    """A conversation with somebody who stays and says nothing."""
    reading, writing = os.pipe()
    yield Line(reading)
    os.close(writing)
