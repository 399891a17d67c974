from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from edgenn.ops.assign import assign


@pytest.mark.parametrize("shape", [(1, 1), (0, 3), (3, 0), (5, 9), (9, 5), (50, 50), (120, 90)])
@pytest.mark.parametrize("levels", [0, 4])
def test_the_total_is_the_least(shape, levels):
    rng = np.random.default_rng(sum(shape))
    for _ in range(5):
        cost = rng.random(shape)
        cost = np.round(cost * levels) if levels else cost - 0.5
        rows, columns = assign(cost)
        best = linear_sum_assignment(cost)
        assert cost[rows, columns].sum() == pytest.approx(cost[best].sum())
        assert (np.diff(rows) > 0).all()
        assert len(set(columns.tolist())) == min(shape)


def test_costs_must_be_finite():
    with pytest.raises(ValueError, match="finite"):
        assign(np.array([[np.inf]]))
