"""A folder per class, or folders train and val (or test) with a folder per class.

Folders inside a class folder belong to that class. Class names are sorted.
"""

from __future__ import annotations

from pathlib import Path

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import find
from edgenn.data.readers._pictures import Draft, finish, no_boxes
from edgenn.data.readers._site import Site, has_sides, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read a folder of pictures by class.

    Raises:
        DataError: Not a folder, or one without pictures in folders.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; imagefolder data has one folder per class")
    site, level = Site(spec, root, progress), int(has_sides(root))
    drafts = []
    for path in find(root):
        folders = path.relative_to(root).parts[:-1]
        if len(folders) <= level:
            site.report(path, "it lies in no class folder")
            continue
        drafts.append(Draft(path, [folders[level]], no_boxes(), side(folders[:level])))
    if not drafts:
        raise DataError(f"{root} holds no pictures in class folders")
    found = sorted({draft.names[0] for draft in drafts})
    for path in root.glob("/".join("*" * (level + 1))):
        if path.is_dir() and path.name not in found and path.name[0] != ".":
            site.report(path, "class folder without pictures")
    used = [d for d in drafts if not spec.labels or d.names[0] in spec.labels]
    return finish(site, used, found)
