from __future__ import annotations

import numpy as np
import pytest
import torch

from edgenn.train.multiscale import rescale

IDS = np.array([1])


def lit(size, box):
    x = torch.zeros(1, 3, *size)
    x[:, :, box[1] : box[3], box[0] : box[2]] = 1
    return x, [(np.float32([box]), IDS), (np.zeros((0, 4), np.float32), IDS[:0])]


@pytest.mark.parametrize(
    ("factor", "size"), [(0.5, (64, 96)), (1.5, (192, 288)), (0.9, (128, 160))]
)
def test_boxes_follow_their_objects_to_a_size_the_net_takes(factor, size):
    x, target = rescale(*lit((128, 192), (48, 32, 96, 64)), factor)
    assert tuple(x.shape[2:]) == size
    rows, columns = np.nonzero(x[0, 0].numpy() > 0.5)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    np.testing.assert_allclose(target[0][0][0], found, atol=1.5)
    assert target[0][0].dtype == np.float32
    assert target[1][0].shape == (0, 4)


def test_factor_near_one_changes_nothing():
    x, target = lit((128, 192), (48, 32, 96, 64))
    same = rescale(x, target, 1.05)
    assert same[0] is x
    assert same[1] is target
