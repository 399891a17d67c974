"""Picture files: finding, decoding and checking them.

A picture is what a viewer shows: 8 bits, BGR, turned as its EXIF tag says.
OpenCV brings grey, 16-bit, transparent and CMYK files to that form. Label
coordinates are understood to refer to the same, shown picture.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from edgenn.data import Progress
from edgenn.errors import DataError
from edgenn.runtime.sources._jpeg import is_cut
from edgenn.types import Image

SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a full decode tells of a picture file.

    Attributes:
        size: Height, width in pixels; (0, 0) where it cannot be decoded.
        digest: Hash of the file's bytes.
        fault: Why it cannot be used; empty where it can.
    """

    size: tuple[int, int]
    digest: str
    fault: str = ""


def find(folder: Path) -> list[Path]:
    """All picture files below ``folder``, sorted; hidden ones are passed over."""
    return [path for path in files(folder) if path.suffix.lower() in SUFFIXES]


def files(folder: Path, suffix: str = "") -> list[Path]:
    """All files below ``folder`` with that suffix, sorted; hidden ones are passed over."""
    return sorted(
        path
        for path in folder.rglob(f"*{suffix}")
        if path.is_file()
        and not any(part[0] == "." or part == "__MACOSX" for part in path.relative_to(folder).parts)
    )


def read(path: Path) -> Image:
    """Decode a picture file.

    Returns:
        (H, W, 3) uint8, BGR, turned as EXIF says.

    Raises:
        DataError: It cannot be read, or only in part.
    """
    raw = _bytes(path)
    fault, image = _decode(raw)
    if image is None:
        raise DataError(f"{path}: {fault}")
    return image


def inspect(paths: Sequence[Path], progress: Progress) -> dict[Path, Facts]:
    """Decode every file once, in parallel, and keep only what is known of it."""
    tick = progress("check pictures", len(paths))

    def facts(path: Path) -> Facts:
        try:
            raw = _bytes(path)
        except DataError as error:
            return Facts((0, 0), "", str(error))
        fault, image = _decode(raw)
        size = (0, 0) if image is None else image.shape[:2]
        return Facts((size[0], size[1]), hashlib.sha256(raw).hexdigest(), fault)

    known = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, found in zip(paths, pool.map(facts, paths), strict=True):
            known[path] = found
            tick()
    return known


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from error


def _decode(raw: bytes) -> tuple[str, Image | None]:
    """The reason for a failure, or the picture."""
    if not raw:
        return "the file is empty", None
    if is_cut(raw):
        return "truncated JPEG: the end of the picture is missing", None
    try:
        # The stubs of OpenCV 4 do not say that it may be None.
        image = cast("Image | None", cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR))
    except cv2.error as error:
        return f"OpenCV cannot decode it ({error.err})", None
    if image is None:
        return "not a picture that OpenCV can decode, or a damaged one", None
    return "", np.asarray(image, np.uint8)
