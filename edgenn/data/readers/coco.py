"""COCO: a json of images, annotations and categories, or a folder that has some.

In a folder these are ``annotations/instances_*.json``, else every json file that
has boxes. Sides come from the names of files and folders. Pictures are looked for
beside the json, in ``images``, and in folders named after the side. Category ids
may have holes; classes are in the order of their ids. Crowds are passed over.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files
from edgenn.data.readers._pictures import Draft, finish, no_boxes
from edgenn.data.readers._site import Site, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

_KEYS = {"images", "annotations", "categories"}


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read a COCO data set.

    Raises:
        DataError: No json with images, annotations and categories.
    """
    site = Site(spec, root, progress)
    drafts: list[Draft] = []
    names: dict[int, str] = {}
    for path in _jsons(root):
        content = _load(path)
        try:
            known = {int(c["id"]): str(c["name"]) for c in content["categories"]}
            drafts += _drafts(site, path, content, known)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path} is not COCO: {type(error).__name__} {error}") from error
        names.update(known)
    return finish(site, drafts, [names[i] for i in sorted(names)])


def is_coco(path: Path) -> bool:
    """Whether a json file begins like a COCO one: cheap, for guessing."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    return any(f'"{key}"'.encode() in head for key in ("images", "annotations", "categories"))


def _jsons(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    every = files(root, ".json") if root.is_dir() else []
    named = [path for path in every if path.name.startswith("instances")]
    chosen = named or [path for path in every if is_coco(path)]
    if not chosen:
        raise DataError(f"{root} holds no COCO json, such as annotations/instances_train.json")
    return chosen


def _load(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a json file: {error}") from error
    missing = _KEYS - set(content) if isinstance(content, dict) else _KEYS
    if missing:
        raise DataError(f"{path} is not COCO instances: it has no {', '.join(sorted(missing))}")
    return dict(content)


def _drafts(
    site: Site, path: Path, content: dict[str, Any], names: dict[int, str]
) -> Iterator[Draft]:
    where = side([path.stem, *path.relative_to(site.base).parts[:-1]])
    folders = _folders(path, site.base, where)
    by_image = defaultdict(list)
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    for image in content["images"]:
        objects = by_image.pop(image["id"], [])
        picture = _picture(str(image["file_name"]), folders)
        try:
            rows = [_row(entry, names) for entry in objects if not entry.get("iscrowd")]
        except DataError as error:
            site.report(picture, str(error))
            continue
        boxes = np.array([box for _, box in rows], np.float64) if rows else no_boxes()
        stated = (int(image.get("height") or 0), int(image.get("width") or 0))
        yield Draft(picture, [name for name, _ in rows], boxes, where, stated=stated)
    for image_id, entries in by_image.items():
        site.report(path, f"{len(entries)} annotations of the unknown image id {image_id}")


def _row(entry: dict[str, Any], names: dict[int, str]) -> tuple[str, list[float]]:
    if entry["category_id"] not in names:
        raise DataError(f"category id {entry['category_id']} is not among the categories")
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise DataError(f"annotation {entry.get('id')} has no bbox of four numbers")
    x, y, width, height = map(float, box)
    return names[entry["category_id"]], [x, y, x + width, y + height]


def _folders(path: Path, base: Path, where: str) -> list[Path]:
    """Where pictures of a json may lie, nearest first."""
    year = path.stem.rpartition("_")[2]  # instances_train2017 -> train2017
    tops = dict.fromkeys((path.parent, base, path.parent.parent))
    inside = ("", "images", year, f"images/{year}", where, f"images/{where}")
    return [top / name for top in tops for name in dict.fromkeys(inside)]


def _picture(name: str, folders: list[Path]) -> Path:
    found = next((folder / name for folder in folders if (folder / name).is_file()), None)
    return found or folders[0] / name
