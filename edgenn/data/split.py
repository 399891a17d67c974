"""Dividing samples into training and validation; a group is never on both sides."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgenn.data import Clip, Picture, Recording
from edgenn.errors import DataError
from edgenn.plugins import suggestion
from edgenn.recipe.schema import Split

_log = logging.getLogger(__name__)
T = TypeVar("T", Picture, Recording, Clip)


def split(
    samples: Sequence[T], spec: Split, seed: int, classes: int
) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Divide samples as the recipe says.

    The result depends on names, labels and seed alone, not on the order of files.

    Args:
        samples: All that can be used.
        spec: By what, and how much or what to validate on.
        seed: Of the order in which groups are tried.
        classes: Number of labels; a share split keeps their proportions as well
            as whole groups allow.

    Returns:
        Samples to train on and samples to validate on, in their given order.

    Raises:
        DataError: One side would be empty, or there is no group of a wanted name.
    """
    if spec.by == "given":
        val = {i for i, sample in enumerate(samples) if sample.split == "val"}
    else:
        groups = _groups(samples, spec)
        chosen = _named(groups, spec.val) if isinstance(spec.val, list) else None
        if chosen is None:
            assert isinstance(spec.val, float | int)
            chosen = _share(groups, _counts(samples, classes), float(spec.val), seed)
        val = {i for name in chosen for i in groups[name]}
    sides = (
        tuple(sample for i, sample in enumerate(samples) if i not in val),
        tuple(sample for i, sample in enumerate(samples) if i in val),
    )
    _refuse_empty(sides, spec)
    return sides


def _groups(samples: Sequence[T], spec: Split) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        groups[sample.group if spec.by == "group" else _name(sample)].append(i)
    return dict(groups)


def _name(sample: Picture | Recording | Clip) -> str:
    return str(sample.path) if isinstance(sample, Picture) else sample.name


def _named(groups: dict[str, list[int]], wanted: list[str]) -> list[str]:
    known = sorted(groups)
    for name in wanted:
        if name not in groups:
            shown = known if len(known) <= 20 else [*known[:20], f"... {len(known)} in all"]
            raise DataError(f"data.split.val: there is no group {name!r}{suggestion(name, shown)}")
    return wanted


def _counts(samples: Sequence[T], classes: int) -> NDArray[np.float64]:
    """(samples, classes + 1) boxes or readings of every class, and 1 for the sample itself."""
    counts = np.ones((len(samples), classes + 1))
    for row, sample in zip(counts, samples, strict=True):
        row[:classes] = np.bincount(sample.class_ids[sample.class_ids >= 0], minlength=classes)
    return counts


def _share(
    groups: dict[str, list[int]], counts: NDArray[np.float64], share: float, seed: int
) -> list[str]:
    """Groups that together come near ``share`` of every class.

    Greedy: groups are tried in random order, and each is taken that brings the
    shares of the classes nearer to the wanted one.
    """
    names = sorted(groups)
    totals = np.maximum(counts.sum(axis=0), 1)
    shares = {name: counts[groups[name]].sum(axis=0) / totals for name in names}
    # The number of samples weighs as much as all classes together: rare ones come out ragged.
    weights = (counts.sum(axis=0) > 0).astype(np.float64)
    weights[-1] = max(1.0, weights[:-1].sum())
    reached = np.zeros(counts.shape[1])

    def miss(reached: NDArray[np.float64]) -> float:
        return float((weights * (reached - share) ** 2).sum())

    chosen = []
    for i in np.random.default_rng(seed).permutation(len(names)):
        name = names[i]
        if miss(reached + shares[name]) < miss(reached):
            reached = reached + shares[name]
            chosen.append(name)
    if not chosen and share > 0 and len(names) > 1:
        chosen = [min(names, key=lambda name: miss(shares[name]))]
    _log.debug("validation groups: %s", ", ".join(chosen))
    return chosen


def _refuse_empty(sides: tuple[Sequence[T], Sequence[T]], spec: Split) -> None:
    for side, samples in zip(("train", "validate"), sides, strict=True):
        if samples:
            continue
        if spec.by == "given":
            raise DataError(
                f"data.split.by is given, but the data names no samples to {side} on; "
                "use by: group, or mark them with folders train and val or a split column"
            )
        groups = len({s.group for s in (*sides[0], *sides[1])})
        raise DataError(
            f"the split leaves no samples to {side} on: there are {len(sides[0]) + len(sides[1])} "
            f"samples in {groups} groups and data.split.val is {spec.val}"
        )
