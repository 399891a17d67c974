"""Names of run folders."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from edgenn.errors import UsageError
from edgenn.train.checkpoint import LAST


def new_folder(runs: Path, name: str, *, wanted: bool) -> Path:
    """A folder for a run that begins; it is not made yet.

    Args:
        runs: Folder of all runs.
        name: Of the run.
        wanted: The user asked for this very name; otherwise a number is added
            where it is taken.

    Raises:
        UsageError: The wanted name is taken.
    """
    folder = runs / name
    if not _taken(folder):
        return folder
    if wanted:
        raise UsageError(
            f"{folder} exists already; take another --name, or continue it with --resume"
        )
    return next(f for n in count(2) if not _taken(f := runs / f"{name}-{n}"))


def last_folder(runs: Path, name: str, *, wanted: bool) -> Path:
    """The folder of a run to continue: the latest of that name.

    Raises:
        UsageError: There is none with a checkpoint.
    """
    numbered = (runs / f"{name}-{n}" for n in count(2))
    folders = [runs / name]
    if not wanted:
        for folder in numbered:
            if not _taken(folder):
                break
            folders.append(folder)
    for folder in reversed(folders):
        if (folder / LAST).is_file():
            return folder
    raise UsageError(
        f"there is nothing to resume: {folders[-1]} has no {LAST}; start without --resume"
    )


def _taken(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
