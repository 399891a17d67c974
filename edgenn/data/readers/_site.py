"""What all readers make of paths, groups, sides and class names."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from edgenn.data import Problem, Progress, Side
from edgenn.errors import DataError, RecipeError
from edgenn.plugins import suggestion
from edgenn.recipe.schema import Data

_log = logging.getLogger(__name__)
_SIDE = re.compile(r"(?:.*[_-])?(train|val|test)(?:ing|id|idation)?\d{0,4}")
T = TypeVar("T")


class Site:
    """Where a data set lies, how its paths tell groups and classes, and what is wrong in it.

    Args:
        spec: The recipe's data section.
        root: The file or folder of the data.
        progress: Told of every sample.

    Attributes:
        problems: What was found wrong so far.

    Raises:
        RecipeError: ``split.group`` or ``label_pattern`` is not a regular expression with a
            bracket.
    """

    def __init__(self, spec: Data, root: Path, progress: Progress) -> None:
        self.spec, self.root, self.progress = spec, root, progress
        self.base = root if root.is_dir() else root.parent
        self.problems: list[Problem] = []
        self._group = _pattern(spec.split.group, "data.split.group", "group")
        self._label = _pattern(spec.label_pattern, "data.label_pattern", "class")

    def report(self, where: Path | str, reason: str, *, mended: bool = False) -> None:
        """Note a problem of a file, or of the part of a file with this name."""
        name = where if isinstance(where, str) else self.name(where)
        self.problems.append(Problem(name, reason, mended))

    def name(self, path: Path) -> str:
        """The path relative to the data set, with forward slashes."""
        return Path(os.path.relpath(path, self.base)).as_posix()

    def group(self, path: Path) -> str:
        """Group of a file: what the bracket finds, or the file itself where no rule is given.

        Raises:
            DataError: The rule finds nothing in this path.
        """
        name = self.name(path)
        if self._group is None:
            return name
        found = self._group.search(name)
        if found is None or not found.group(1):
            raise DataError("data.split.group finds no group in this path")
        return found.group(1)

    def label(self, path: Path) -> str:
        """Class of a file: what the bracket finds, or nothing where no rule is given.

        Raises:
            DataError: The rule finds nothing in this path.
        """
        if self._label is None:
            return ""
        found = self._label.search(self.name(path))
        if found is None or not found.group(1):
            raise DataError("data.label_pattern finds no class in this path")
        return found.group(1)


def _pattern(text: str, key: str, what: str) -> re.Pattern[str] | None:
    """Raises RecipeError where ``text`` is no regular expression with a bracket."""
    if not text:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise RecipeError(f"{key} is no regular expression: {error}") from error
    if not pattern.groups:
        raise RecipeError(f"{key} needs a bracket around the {what}, not {text!r}")
    return pattern


def natural(names: Iterable[str]) -> list[str]:
    """Sorted as people do: 2 before 10."""
    return sorted(set(names), key=lambda name: [*map(_part, re.split(r"(\d+)", name)), (0, name)])


def _part(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def side(parts: Iterable[str]) -> str:
    """What the first telling folder or file name says: "train", "val", "test" or nothing."""
    for part in parts:
        found = _SIDE.fullmatch(part.lower())
        if found:
            return found.group(1)
    return ""


def has_sides(folder: Path) -> bool:
    """Whether all folders in ``folder`` are named after sides; "train" may also be a class."""
    folders = [path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    return bool(folders) and all(side([name]) for name in folders)


def settle_sides(samples: Sequence[tuple[str, T]]) -> list[tuple[Side, T]]:
    """Make the test set the validation set where there is no other, or leave it out.

    Args:
        samples: Pairs of what `side` says and something.
    """
    has_val = any(name == "val" for name, _ in samples)
    left_out = sum(name == "test" for name, _ in samples) if has_val else 0
    if left_out:
        _log.info("%d samples of the test set are left out: there is a validation set", left_out)
    settled: list[tuple[Side, T]] = []
    for name, sample in samples:
        if name == "test":
            if not has_val:
                settled.append(("val", sample))
        else:
            settled.append(("train" if name == "train" else "val" if name == "val" else "", sample))
    return settled


def choose_labels(found: Iterable[str], spec: Data) -> tuple[str, ...]:
    """The classes to use: those that the recipe wants, or all.

    Raises:
        DataError: The data has none, or not one that the recipe wants.
    """
    known = list(dict.fromkeys(found))
    if not known:
        raise DataError("the data has no classes: nothing in it is labelled")
    for name in spec.labels:
        if name not in known:
            raise DataError(f"data.labels: the data has no class {name!r}{suggestion(name, known)}")
    return tuple(spec.labels or known)
