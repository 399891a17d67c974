"""``index.json``: the releases of one model that a server has."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from edgenn.bundle.manifest import Strict
from edgenn.bundle.trust import MAX_SERIAL
from edgenn.errors import BundleError, faults
from edgenn.runtime.update.device import percentile

INDEX = "index.json"
SIGNED = ".sig"  # at the end of the name of the file beside an index
INDEX_VERSION = 1
MAX_INDEX = 1 << 20
MAX_BUNDLE = 1 << 30


class Release(Strict):
    """One bundle.

    Attributes:
        name: Of the model, as in its manifest.
        serial: As in its signed statement.
        url: Where it is; relative to the index or whole.
        size: Bytes.
        sha256: Of the file, hex.
        rollout: Per cent of the devices that get it.
        min_edgenn: Smallest version that can run it; empty for any.
    """

    name: str = Field(min_length=1, max_length=200)
    serial: int = Field(ge=1, le=MAX_SERIAL)
    url: str = Field(min_length=1, max_length=2000)
    size: int = Field(gt=0, le=MAX_BUNDLE)
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    rollout: float = Field(default=100.0, ge=0, le=100)
    min_edgenn: str = Field(default="", pattern=r"^(\d+(\.\d+)*)?$")


class Index(Strict):
    """The document: releases of one model, in any order."""

    version: Literal[1] = 1
    releases: tuple[Release, ...] = Field(default=(), max_length=1000)

    @property
    def name(self) -> str:
        """Of the model; empty where nothing is listed."""
        return self.releases[0].name if self.releases else ""

    @model_validator(mode="after")
    def _is_of_one_model(self) -> Index:
        if len({release.name for release in self.releases}) > 1:
            raise ValueError("it lists several models; each needs an index of its own")
        if len({release.serial for release in self.releases}) < len(self.releases):
            raise ValueError("it lists a serial twice")
        return self


@dataclass(frozen=True, slots=True)
class Choice:
    """What a device takes, if anything, and why nothing where that is worth a word."""

    release: Release | None
    reason: str = ""


def parse_index(data: bytes, where: str) -> Index:
    """Read an index.

    Raises:
        BundleError: Not JSON, of an unknown version, or with wrong keys or values.
    """
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{where} is not valid JSON ({error})") from error
    version = raw.get("version") if isinstance(raw, dict) else None
    if version != INDEX_VERSION:
        raise BundleError(
            f"{where}: index version {version!r} is not known to this edgenn, which reads "
            f"version {INDEX_VERSION}"
        )
    try:
        return Index.model_validate(raw)
    except ValidationError as error:
        raise BundleError(f"{where} is not a valid index: {faults(error, 5)}") from error


def choose(
    index: Index,
    *,
    name: str,
    serial: int,
    refused: Collection[int],
    device: str,
    edgenn: str,
    floor: int = 0,
) -> Choice:
    """The newest release that is for this device.

    Args:
        index: What the server has.
        name: Of the model that runs; empty takes any.
        serial: What runs; only larger ones are taken.
        refused: Serials that failed here.
        device: Its id.
        edgenn: Version that runs here.
        floor: The largest serial that ever ran; smaller ones are not taken.
    """
    listed = index.name
    if not index.releases:
        return Choice(None)
    if name and listed != name:
        return Choice(None, f"the index is of {listed}, but {name} runs here; it is ignored")
    newest = max(release.serial for release in index.releases)
    if newest < max(serial, floor):
        return Choice(
            None,
            f"the index ends at serial {newest}, but {max(serial, floor)} ran here; it is ignored",
        )
    reason = ""
    for release in sorted(index.releases, key=lambda r: -r.serial):
        if release.serial <= serial or release.serial < floor or release.serial in refused:
            continue
        if _numbers(release.min_edgenn) > _numbers(edgenn):
            reason = (
                f"{listed} serial {release.serial} needs edgenn {release.min_edgenn}, and this is "
                f"{edgenn}; it is left out"
            )
        elif percentile(device, release.serial) < release.rollout:
            return Choice(release, reason)
    return Choice(None, reason)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version; later parts, such as dev1, do not count."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
