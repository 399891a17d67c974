"""Shapes that hold the same numbers in the same order."""

from __future__ import annotations

from itertools import product
from math import prod

# More axes than this has no input that edgenn prepares.
_MAX_RANK = 5


def holding(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of a file's tensor, none of it free, that takes a prepared one row by row.

    Args:
        shape: Of the file; -1 where it is free.
        wanted: Of the prepared tensor. Axes of 1 may be elsewhere in the file, or all others
            may be one axis there.

    Returns:
        None where the file takes something else.
    """
    if len(shape) == len(wanted) and all(g in (-1, w) for g, w in zip(shape, wanted, strict=True)):
        return wanted
    if len(shape) > _MAX_RANK:
        return None
    plain = [n for n in wanted if n != 1]
    choices = [dict.fromkeys((1, *plain)) if n == -1 else (n,) for n in shape]
    for filled in product(*choices):
        if [n for n in filled if n != 1] in (plain, [prod(plain)]):
            return filled
    return None
