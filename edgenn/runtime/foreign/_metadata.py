"""What the metadata of a foreign file say: names, size, task and family."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgenn.runtime.engines import Extras

MAX_LITERAL = 1 << 18
MAX_LABELS = 1 << 16
_WORDS = ("label", "names", "classes", "imagenet", "coco")
_LABEL_KEYS = ("names", "classes", "class_names", "labels", "label_names", "id2label", "character")


@dataclass(frozen=True)
class Said:
    """What the file says.

    Attributes:
        labels: Class names, empty where it says none.
        labels_from: Where they come from.
        size: Height, width.
        task: Its author's word for it.
        is_ultralytics: Whether pictures are scaled to 0..1 in RGB, as that toolkit does.
        metadata: Text by key.
        side: Of pictures whose size nothing says, in pixels.
    """

    labels: tuple[str, ...]
    labels_from: str
    size: tuple[int, int] | None
    task: str
    is_ultralytics: bool
    metadata: Mapping[str, str]
    side: int = 224


def read_metadata(extras: Extras) -> Said:
    """Gather what the file carries; what cannot be read counts as not said."""
    text = dict(extras.metadata)
    for name, content in extras.files.items():
        if PurePosixPath(name).name in ("metadata.json", "temp_meta.txt", "metadata.yaml"):
            text |= _mapping(content)
    labels, key = _listed(text)
    where = f"{key} in its metadata"
    if not labels:
        guessed = [
            n for n in extras.files if n.endswith(".txt") and any(w in n.lower() for w in _WORDS)
        ]
        for name in [n for n in extras.label_files if n in extras.files] + guessed:
            labels, where = split_lines(extras.files[name]), f"{name} inside the file"
            break
    size = _literal(text.get("imgsz", ""))
    given = size if isinstance(size, list | tuple) else [size, size]
    sides = [s for s in given if isinstance(s, int) and s > 0]
    family = text.get("author", "") + text.get("description", "")
    return Said(
        labels,
        where if labels else "",
        (sides[0], sides[1]) if len(sides) == len(given) == 2 else None,
        text.get("task", ""),
        "ultralytics" in family.lower() or {"stride", "names", "task"} <= text.keys(),
        text,
        640 if text.get("task") == "detect" else 224,
    )


def names_of(content: str) -> tuple[str, ...]:
    """Class names in a JSON file such as ``config.json`` of Hugging Face; empty where none are."""
    return _listed(_mapping(content))[0]


def _listed(text: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Class names, and the key that they are under."""
    for key in _LABEL_KEYS:
        if labels := _names(text.get(key, "")):
            return labels, key
    return (), ""


def split_lines(text: str) -> tuple[str, ...]:
    """Names, one a line; a number before each is its index and left out."""
    lines = [line.strip() for line in text.splitlines()[:MAX_LABELS] if line.strip()]
    numbered = [line.replace(":", " ").split(maxsplit=1) for line in lines]
    if lines and all(len(p) == 2 and p[0] == str(i) for i, p in enumerate(numbered)):
        lines = [p[1] for p in numbered]
    return tuple(lines)


def _mapping(content: str) -> dict[str, str]:
    if len(content) > MAX_LITERAL:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = _literal(content)
    if isinstance(found, dict):
        return {str(k): v if isinstance(v, str) else repr(v) for k, v in found.items()}
    # Lines of "key: value", as simple YAML has them.
    pairs = (line.partition(":") for line in content.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon and value.strip()}


def _names(text: str) -> tuple[str, ...]:
    found = _literal(text)
    if found is None and "\n" in text.strip() and len(text) <= MAX_LITERAL:
        return split_lines(text)
    if isinstance(found, dict):
        try:
            keys = {int(key): str(value) for key, value in found.items()}
        except (TypeError, ValueError):
            return ()
        if sorted(keys) != list(range(len(keys))):
            return ()
        found = [keys[i] for i in range(len(keys))]
    if isinstance(found, list | tuple) and len(found) <= MAX_LABELS:
        return tuple(map(str, found))
    return ()


def _literal(text: str) -> object:
    if not text or len(text) > MAX_LITERAL or text.count("(") + text.count("[") > 64:
        return None
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
