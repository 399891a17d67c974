"""Pascal VOC: one XML file per picture, beside it or in Annotations next to JPEGImages.

The picture is the one with the XML's own name, else the one that its
``filename`` says. Sides come from ``ImageSets/Main/{train,val,test}.txt`` or from
folder names. The width and height in the XML may be 0; other values must be
those of the picture. Classes are sorted by name. Objects marked difficult are
used like all others. Pictures without an XML file are passed over.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np

from edgenn.data import Progress, Raw, quiet
from edgenn.data.images import files, find
from edgenn.data.readers._pictures import Draft, finish, no_boxes
from edgenn.data.readers._site import Site, side
from edgenn.errors import DataError
from edgenn.recipe.schema import Data

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read(spec: Data, root: Path, progress: Progress = quiet) -> Raw:
    """Read a folder of VOC annotations.

    Raises:
        DataError: Not a folder, or one without XML files.
    """
    labels = files(root, ".xml") if root.is_dir() else []
    if not labels:
        raise DataError(f"{root} is not a folder with VOC annotations: it holds no .xml file")
    site = Site(spec, root, progress)
    pictures = _Pictures(root)
    drafts: dict[Path, Draft] = {}
    for path in labels:
        try:
            draft = _draft(path, pictures)
        except DataError as error:
            site.report(path, str(error))
            continue
        if draft.path in drafts:
            site.report(path, f"{site.name(draft.path)} has labels from another file already")
            continue
        if not draft.names:
            site.report(path, "empty label: its picture is used as background", mended=True)
        drafts[draft.path] = draft
    found = sorted({name for draft in drafts.values() for name in draft.names})
    return finish(site, drafts.values(), found)


class _Pictures:
    """Finds the picture of a label file, and its side."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_folder = {(path.parent, path.stem): path for path in find(root)}
        self._listed: dict[str, str] = {}
        for path in files(root, ".txt"):
            if path.parent.name == "Main" and path.stem in ("train", "val", "test"):
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    self._listed.setdefault(line.split()[0] if line.split() else "", path.stem)

    def find(self, label: Path, filename: str) -> Path:
        """Picture of a label file."""
        near = (label.parent, *(label.parent.parent / n for n in ("JPEGImages", "images")))
        for stem in (label.stem, Path(filename.replace("\\", "/")).stem):
            for folder in near:
                if (folder, stem) in self._by_folder:
                    return self._by_folder[folder, stem]
        raise DataError(f"its picture {filename or label.stem!r} is missing")

    def side(self, picture: Path) -> str:
        """What the data says of the side of a picture."""
        listed = self._listed.get(picture.stem)
        return listed or side(picture.relative_to(self._root).parts[:-1])


def _draft(path: Path, pictures: _Pictures) -> Draft:
    tree = _parse(path)
    objects = [(_name(node), _box(node)) for node in tree.iter("object")]
    picture = pictures.find(path, (tree.findtext("filename") or "").strip())
    boxes = np.array([box for _, box in objects], np.float64) if objects else no_boxes()
    return Draft(
        picture,
        [name for name, _ in objects],
        boxes,
        pictures.side(picture),
        stated=(_side(tree, "height"), _side(tree, "width")),
    )


def _parse(path: Path) -> ET.Element:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error
    if b"<!ENTITY" in text:
        raise DataError("it declares XML entities, which labels never need; it is refused")
    try:
        return ET.fromstring(text)  # noqa: S314  # entities are refused above
    except ET.ParseError as error:
        raise DataError(f"not valid XML: {error}") from error


def _name(node: ET.Element) -> str:
    name = (node.findtext("name") or "").strip()
    if not name:
        raise DataError("empty label: an object has no name")
    return name


def _box(node: ET.Element) -> list[float]:
    try:
        return [float(node.findtext(f"bndbox/{corner}") or "") for corner in _CORNERS]
    except ValueError:
        raise DataError("an object has no box of four numbers") from None


def _side(tree: ET.Element, name: str) -> int:
    try:
        return int(float(tree.findtext(f"size/{name}") or 0))
    except ValueError:
        return 0
