"""Class names of a foreign model."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from edgenn.errors import UsageError
from edgenn.runtime.foreign._metadata import Said, split_lines
from edgenn.runtime.labels import COCO

# Numbers from 1 to 90 that COCO's own list skips, counted from 0.
_GAPS = {11, 25, 28, 29, 44, 65, 67, 68, 70, 82}
_MAX_FILE = 4 << 20


def named(text: str) -> tuple[str, ...]:
    """Labels of ``--labels``: "coco", "imagenet" or a file with a name a line.

    Raises:
        UsageError: The file cannot be read.
    """
    if text == "coco":
        return COCO
    if text == "imagenet":
        return imagenet()[1:]
    try:
        path = Path(text)
        if path.stat().st_size > _MAX_FILE:
            raise UsageError(f"--labels: {text} is too large for a list of names")
        labels = split_lines(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--labels: {text} is neither coco, imagenet nor a UTF-8 text file with a name a line"
        ) from error
    if not labels:
        raise UsageError(f"--labels: {text} is empty")
    return labels


def imagenet() -> tuple[str, ...]:
    """The 1001 names of ImageNet with "background" first."""
    text = (resources.files(__package__) / "imagenet.txt").read_text(encoding="utf-8")
    return split_lines(text)


def choose_labels(
    given: tuple[str, ...], said: Said, classes: int, layout: str
) -> tuple[tuple[str, ...], str]:
    """Names for so many classes, and where they are from.

    Raises:
        UsageError: The user's names are of another number.
    """
    for labels, where in ((given, "--labels"), (said.labels, said.labels_from)):
        if not labels:
            continue
        fitted = _fit(labels, classes)
        if fitted:
            return fitted, where
        if where == "--labels":
            raise UsageError(f"--labels has {len(labels)} names, but the model has {classes}")
    if layout == "classes" and classes in (1000, 1001):
        return imagenet()[1001 - classes :], f"ImageNet, as there are {classes} classes"
    if layout != "classes" and classes in (80, 90, 91):
        fitted = _fit(COCO, classes)
        return fitted, f"COCO, as there are {classes} classes"
    if classes == 1:
        return ("object",), "not known: one class; --labels FILE names it"
    numbers = tuple(f"class {i}" for i in range(classes))
    return numbers, "not known: numbers stand for them; --labels FILE names them"


def _fit(labels: tuple[str, ...], classes: int) -> tuple[str, ...]:
    first = labels[0].lower()
    if len(labels) == classes:
        return labels
    if len(labels) == classes + 1 and first in ("background", "???", "__background__"):
        return labels[1:]
    if len(labels) == classes - 1 and first != "background":
        return ("background", *labels)
    if labels == COCO and classes in (90, 91):
        names = iter(COCO)
        whole = tuple(f"unused {i}" if i in _GAPS else next(names) for i in range(90))
        return whole if classes == 90 else ("background", *whole)
    return ()
