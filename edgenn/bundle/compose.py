"""Makes a chain of bundles: one bundle that holds the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgenn.bundle.manifest import Chain, Manifest, Member
from edgenn.bundle.store import Bundle, open_bundle, write_bundle
from edgenn.errors import BundleError, faults

LANDMARKS, TRACE = "landmarks.edgenn", "trace.edgenn"


def compose(
    detector: Path,
    landmarks: Path,
    trace: Path | None,
    rules: Mapping[str, Any],
    out: Path,
    *,
    name: str,
    temporal: Mapping[str, Mapping[str, Any]] | None = None,
) -> Manifest:
    """Write a bundle whose nets follow each other; see `Chain`.

    Args:
        detector: Bundle whose net looks at whole pictures.
        landmarks: Bundle whose net looks at the crops.
        trace: Bundle of the net over time, if any.
        rules: The fields of `Chain`, without its ``landmarks``, and in ``trace`` without ``net``.
        out: Path of the bundle.
        name: Of the whole.
        temporal: Defaults of temporal stages, by stage name.

    Raises:
        BundleError: A bundle is missing or damaged, or the rules do not fit.
    """
    first = open_bundle(detector)
    files = _files(first)
    members = {LANDMARKS: landmarks, **({TRACE: trace} if trace is not None else {})}
    files |= {file: _whole(path) for file, path in members.items()}
    fields = {**rules, "landmarks": _member(LANDMARKS, files)}
    if trace is not None:
        fields["trace"] = {**rules.get("trace", {}), "net": _member(TRACE, files)}
    try:
        chain = Chain.model_validate(fields)
        manifest = Manifest.model_validate(
            {
                **dict(first.manifest),
                "name": name,
                "chain": chain,
                "files": {},  # the card and report are those of one net, and stay behind
                "temporal": {key: dict(value) for key, value in (temporal or {}).items()},
            }
        )
    except ValidationError as error:
        raise BundleError(f"the nets cannot be chained: {faults(error)}") from error
    write_bundle(manifest, files, out)
    return manifest


def _files(bundle: Bundle) -> dict[str, bytes]:
    """All that the manifest names."""
    manifest = bundle.manifest
    names = [variant.file for variant in manifest.variants]
    names += [manifest.golden.file] if manifest.golden is not None else []
    return {name: bundle.read(name) for name in names}


def _whole(path: Path) -> bytes:
    """A bundle as one file, checked."""
    open_bundle(path).check()
    if path.is_dir():
        raise BundleError(f"{path} is a folder; a chain holds bundles that are files")
    return path.read_bytes()


def _member(file: str, files: Mapping[str, bytes]) -> Member:
    data = files[file]
    return Member(file=file, sha256=hashlib.sha256(data).hexdigest(), size=len(data))
