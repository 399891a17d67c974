"""Exact linear assignment: who belongs to whom at the least total cost.

Shortest augmenting paths, as in Jonker and Volgenant, "A shortest augmenting path algorithm for
dense and sparse linear assignment problems" (Computing 38, 1987), in the form of Crouse 2016.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def assign(cost: NDArray[np.floating]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair rows with columns so that the sum of costs is least.

    Args:
        cost: (N, M), finite; of the longer side some stay alone.

    Returns:
        Rows, rising, and their columns, both (min(N, M),).

    Raises:
        ValueError: A cost is not finite.
    """
    table = np.asarray(cost, np.float64)
    if not np.isfinite(table).all():
        raise ValueError("costs must be finite")
    if table.shape[0] > table.shape[1]:
        columns, rows = assign(table.T)
        order = np.argsort(rows)
        return rows[order], columns[order]
    count, width = table.shape
    if not count:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Most rows get their cheapest column at once; only the others need a path.
    u, v = table.min(axis=1), np.zeros(width)
    owner = np.full(width, -1, np.int64)
    taken = np.full(count, -1, np.int64)
    for row, column in enumerate(table.argmin(axis=1).tolist()):
        if owner[column] < 0:
            owner[column], taken[row] = row, column
    for row in np.flatnonzero(taken < 0).tolist():
        _augment(table, (u, v), (owner, taken), row)
    return np.arange(count, dtype=np.int64), taken


def _augment(
    table: NDArray[np.float64],
    duals: tuple[NDArray[np.float64], NDArray[np.float64]],
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
    start: int,
) -> None:
    """Find the shortest path from a free row to a free column, and turn it round."""
    (u, v), (owner, taken) = duals, pairs
    width = len(v)
    shortest = np.full(width, np.inf)
    came = np.full(width, -1, np.int64)
    open_ = np.zeros(width)  # infinity where a column is done
    rows, columns = [start], []
    row, low = start, 0.0
    while True:
        length = table[row] - v
        length += low - u[row] + open_
        better = length < shortest
        shortest[better] = length[better]
        came[better] = row
        column = int((shortest + open_).argmin())
        low = float(shortest[column])
        columns.append(column)
        open_[column] = np.inf
        row = int(owner[column])
        if row < 0:
            break
        rows.append(row)
    u[start] += low
    for other in rows[1:]:
        u[other] += low - shortest[taken[other]]
    done = np.array(columns)
    v[done] -= low - shortest[done]
    while True:
        row = int(came[column])
        owner[column] = row
        taken[row], column = column, int(taken[row])
        if row == start:
            return
