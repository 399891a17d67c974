"""Class names of a foreign model: from the file, from the user, or from a usual list."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from pathlib import Path

from edgenn.errors import UsageError
from edgenn.runtime.labels import COCO, COCO_90, imagenet

_MAX_TEXT = 1 << 20
_MOST = 100_000
_LISTS = {"coco": COCO, "coco-90": COCO_90}


def read_labels(text: str) -> tuple[str, ...]:
    """Names for ``--labels``: "coco", "coco-90", "imagenet", or a file with a name a line.

    Raises:
        UsageError: There is no such file, or it is no text.
    """
    if text == "imagenet":
        return imagenet()
    if text in _LISTS:
        return _LISTS[text]
    path = Path(text)
    try:
        if path.stat().st_size > _MAX_TEXT:
            raise UsageError(f"--labels: {path} is too large for a list of names")
        return lines(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"--labels: cannot read {path}: {error.strerror}; give a file with a name a line, "
            "coco or imagenet"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--labels: {path} is no UTF-8 text with a name a line") from error


def lines(text: str) -> tuple[str, ...]:
    """Names, one a line; also as "0 name" or "0: name" in order."""
    rows = [row.strip() for row in text.splitlines() if row.strip()]
    parts = [row.replace(":", " ", 1).split(None, 1) for row in rows]
    numbered = len(rows) > 1 and all(len(p) == 2 and p[0].isdecimal() for p in parts)
    return tuple(p[1].strip() if numbered else row for p, row in zip(parts, rows, strict=True))


def told(metadata: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Names that a file carries, and where they were; nothing where it carries none."""
    names = _dictionary(metadata.get("names", ""))
    if names:
        return names, "its metadata"
    for key, text in metadata.items():
        if key.lower().endswith(".txt") and len(text) <= _MAX_TEXT and "label" in key.lower():
            return lines(text), f"{key} in it"
    texts = [key for key in metadata if key.lower().endswith(".txt")]
    if len(texts) == 1:
        return lines(metadata[texts[0]]), f"{texts[0]} in it"
    return (), ""


def unpack(metadata: Mapping[str, str]) -> dict[str, str]:
    """The metadata, with what a JSON or Python dictionary in it holds on the same level.

    ultralytics attaches one to TFLite files, under a name that changed over the years.
    """
    found = dict(metadata)
    for key, text in metadata.items():
        if not key.lower().endswith((".json", ".txt", "metadata")) or len(text) > _MAX_TEXT:
            continue
        inner = _parsed(text)
        if isinstance(inner, dict) and "names" in inner:
            found |= {str(k): v if isinstance(v, str) else repr(v) for k, v in inner.items()}
            del found[key]
    return found


def usual(count: int) -> tuple[tuple[str, ...], str]:
    """Names of the list that so many classes are, and which; nothing where none is."""
    if count == len(COCO):
        return COCO, "those of COCO, as there are 80"
    if count in (len(COCO_90), len(COCO_90) + 1):
        # Some count the background as class 0.
        extra = ("background",) * (count - len(COCO_90))
        return (*extra, *COCO_90), f"those of COCO with gaps, as there are {count}"
    if count in (1000, 1001):
        extra = ("background",) * (count - 1000)
        return (*extra, *imagenet()), f"those of ImageNet, as there are {count}"
    return (), ""


def _dictionary(text: str) -> tuple[str, ...]:
    """``{0: 'person', 1: 'car'}`` or a list of names."""
    found = _parsed(text) if text else None
    if isinstance(found, dict):
        try:
            found = [found[i] for i in range(len(found))]
        except KeyError:
            return ()
    if isinstance(found, list | tuple) and 0 < len(found) <= _MOST:
        return tuple(str(name) for name in found)
    return ()


def _parsed(text: str) -> object:
    """JSON or a Python literal; None for anything else."""
    if len(text) > _MAX_TEXT:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
