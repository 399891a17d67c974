"""Class names of a foreign model."""

from __future__ import annotations

from pathlib import Path

from edgenn.errors import UsageError
from edgenn.runtime.foreign._metadata import Said, names_of, split_lines
from edgenn.runtime.labels import COCO, COCO_90, imagenet

_MAX_FILE = 4 << 20
_BACKGROUND = ("background", "???", "__background__", "_background_")


def named(text: str) -> tuple[str, ...]:
    """Labels of ``--labels``: "coco", "imagenet" or a file, with a name a line, or ``config.json``.

    Raises:
        UsageError: The file cannot be read.
    """
    if text == "coco":
        return COCO
    if text == "imagenet":
        return imagenet()
    try:
        path = Path(text)
        if path.stat().st_size > _MAX_FILE:
            raise UsageError(f"--labels: {text} is too large for a list of names")
        content = path.read_text(encoding="utf-8")
        labels = names_of(content) if path.suffix == ".json" else split_lines(content)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"--labels: {text} is neither coco, imagenet nor a UTF-8 text file with a name a line, "
            "or a config.json of Hugging Face"
        ) from error
    if not labels:
        raise UsageError(f"--labels: {text} has no names")
    return labels


def has_background(labels: tuple[str, ...]) -> bool:
    """Whether the first name stands for what is none of the classes."""
    return bool(labels) and labels[0].lower() in _BACKGROUND


def choose_labels(
    given: tuple[str, ...],
    said: Said,
    classes: int,
    layout: str,
    usual: tuple[str, ...] = (),
) -> tuple[tuple[str, ...], str]:
    """Names for so many classes, and where they are from.

    Args:
        given: The user's.
        said: What the file says.
        classes: How many.
        layout: Of the outputs.
        usual: Those of all nets of this family, where they have the same.

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
    if len(usual) == classes:
        return usual, f"usual of {layout}"
    return _known(classes, layout)


def _known(classes: int, layout: str) -> tuple[tuple[str, ...], str]:
    if layout == "classes" and classes in (1000, 1001):
        return _fit(imagenet(), classes), f"ImageNet, as there are {classes} classes"
    if layout != "classes" and classes in (80, 90, 91):
        fitted = _fit(COCO, classes)
        return fitted, f"COCO, as there are {classes} classes"
    if classes == 1:
        return ("object",), "not known: one class; --labels FILE names it"
    numbers = tuple(f"class {i}" for i in range(classes))
    return numbers, "not known: numbers stand for them; --labels FILE names them"


def _fit(labels: tuple[str, ...], classes: int) -> tuple[str, ...]:
    if len(labels) == classes:
        return labels
    if len(labels) == classes + 1 and has_background(labels):
        return labels[1:]
    # ImageNet's and COCO's files that count the background, which lists of names leave out.
    if len(labels) == classes - 1 and classes in (91, 1001) and not has_background(labels):
        return ("background", *labels)
    if labels == COCO and classes in (90, 91):
        return COCO_90 if classes == 90 else ("background", *COCO_90)
    return ()
