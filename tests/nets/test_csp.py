from __future__ import annotations

import pytest
import torch

from edgenn.errors import UsageError
from edgenn.nets import NetSpec, csp


@pytest.mark.parametrize(("size", "low", "high"), [("n", 0.2, 0.4), ("s", 0.8, 1.1), ("m", 3, 4)])
def test_outputs_have_one_row_per_cell_and_sizes_keep_their_class(
    size: str, low: float, high: float
) -> None:
    net = csp.build(csp.SIZES[size], NetSpec(3, (64, 96))).eval()
    with torch.no_grad():
        boxes, scores = net(torch.rand(2, 3, 64, 96))
    cells = 8 * 12 + 4 * 6 + 2 * 3
    assert boxes.shape == (2, cells, 4)
    assert scores.shape == (2, cells, 3)
    assert (boxes >= 0).all()
    assert scores.sigmoid().mean() < 0.05
    assert low < sum(p.numel() for p in net.parameters()) / 1e6 < high


def test_refuses_sides_that_the_strides_do_not_divide() -> None:
    with pytest.raises(UsageError, match="multiples of 32"):
        csp.build(csp.SIZES["n"], NetSpec(1, (100, 96)))


def test_objectness_raises_all_classes_alike():
    net = csp.build(csp.SIZES["yolox"], NetSpec(3, (64, 64))).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = net(x)
        for head in net.heads:
            head.outputs.objectness.bias += 2
        after = net(x)
    torch.testing.assert_close(after[1], before[1] + 2)
    torch.testing.assert_close(after[0], before[0])
