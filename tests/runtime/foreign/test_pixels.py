from __future__ import annotations

import pytest

from edgenn.runtime.foreign._pixels import is_usual


@pytest.mark.parametrize("pixels", [(0, 255), (127.5, 127.5), (128, 128), (127, 128), (0, 1)])
def test_scalings_that_toolkits_have(pixels):
    assert is_usual(pixels)


# Calibrated on dark pictures; on a mean and deviation for each channel; and that of a trained net.
@pytest.mark.parametrize("pixels", [(0, 295.6), (114, 53.6), (131, 79.58), (128, 255)])
def test_those_that_come_of_what_pictures_held(pixels):
    assert not is_usual(pixels)
