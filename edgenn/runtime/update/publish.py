"""Puts a bundle and its line in the index into a folder that a web server hands out."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from edgenn.bundle.signing import sign_index
from edgenn.bundle.store import atomically, open_bundle, write_text
from edgenn.bundle.trust import edition_of, statement_of
from edgenn.errors import BundleError, UsageError
from edgenn.runtime.update.download import file_sha256
from edgenn.runtime.update.index import (
    INDEX,
    MAX_BUNDLE,
    MAX_INDEX,
    SIGNED,
    Index,
    Release,
    parse_index,
)

M = TypeVar("M", bound=BaseModel)


def publish(
    path: Path,
    folder: Path,
    *,
    rollout: float = 100.0,
    serial: int | None = None,
    min_edgenn: str = "",
    keys: Sequence[Path] = (),
) -> Release:
    """Copy a bundle there, and then list it; a release that is listed gets another share.

    Args:
        path: The bundle, a file.
        folder: What the server hands out; is made.
        rollout: Per cent of the devices that get it.
        serial: Of an unsigned bundle; a signed one has its own.
        min_edgenn: Smallest version of edgenn that can run it.
        keys: Private keys that sign the index; wanted again once it is signed.

    Raises:
        UsageError: The serial is missing, is that of another bundle or is not the largest, or
            a value is one that devices would refuse.
        BundleError: The bundle is damaged, or the folder cannot be read or written.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; devices take the single file that export writes")
    bundle = open_bundle(path)
    bundle.check()
    said = statement_of(bundle)
    number = serial if said is None else said.serial
    if number is None:
        raise UsageError(f"{path} is not signed; sign it, or give --serial")
    if serial not in (None, number):
        raise UsageError(f"{path} is signed with serial {number}, not {serial}")
    size = path.stat().st_size
    if size > MAX_BUNDLE:
        raise UsageError(f"{path} has {size} bytes, and devices take {MAX_BUNDLE} at most")
    name = bundle.manifest.name
    file = f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{number}.edgenn"
    release = _checked(
        lambda: Release(
            name=name,
            serial=number,
            url=file,
            size=size,
            sha256=file_sha256(path),
            rollout=rollout,
            min_edgenn=min_edgenn,
        )
    )
    index = folder / INDEX
    releases = tuple(sorted((*_listed(index, release), release), key=lambda r: r.serial))
    document = _checked(lambda: Index(releases=releases)).model_dump_json(indent=1)
    signed = _signed(index, document.encode(), name, keys)
    # The bundle first: an index must not name what is not there.
    atomically(folder / file, lambda temporary: _copy(path, temporary))
    write_text(index, document)
    if signed:
        write_text(_beside(index), signed)
    return release


def _signed(index: Path, data: bytes, name: str, keys: Sequence[Path]) -> str:
    """The file of signatures for an index, and nothing where it is not to be signed."""
    file = _beside(index)
    try:
        before = edition_of(file.read_bytes(), str(file)) if file.exists() else 0
    except OSError as error:
        raise BundleError(f"cannot read {file}: {error.strerror}") from error
    if not keys:
        if before:
            raise UsageError(f"{index} is signed, and devices want it so; give --key")
        return ""
    # Larger than all before, also where the folder was lost and is made anew.
    return sign_index(data, name, max(before + 1, int(time.time())), keys)


def _beside(index: Path) -> Path:
    return index.with_name(index.name + SIGNED)


def _checked(make: Callable[[], M]) -> M:
    """What devices would take, before anything is written.

    Raises:
        UsageError: They would not.
    """
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        what = ".".join(map(str, first["loc"])).replace("_", "-")
        raise UsageError(f"devices would not take this {what}: {first['msg']}") from error


def _copy(path: Path, target: Path) -> None:
    shutil.copyfile(path, target)


def _listed(index: Path, new: Release) -> list[Release]:
    """The other releases of an index that may take a new one."""
    if not index.exists():
        return []
    try:
        data = index.read_bytes()[: MAX_INDEX + 1]
    except OSError as error:
        raise BundleError(f"cannot read {index}: {error.strerror}") from error
    releases = parse_index(data, str(index)).releases
    for old in releases:
        if old.name != new.name:
            raise UsageError(f"{index} is of {old.name}; give {new.name} a folder of its own")
        if old.serial == new.serial and old.sha256 != new.sha256:
            raise UsageError(f"{index} has another bundle with serial {new.serial}; sign anew")
    largest = max((r.serial for r in releases), default=0)
    if new.serial < largest and all(r.serial != new.serial for r in releases):
        raise UsageError(
            f"{index} has serial {largest}, so no device would take {new.serial}; sign anew"
        )
    return [r for r in releases if r.serial != new.serial]
