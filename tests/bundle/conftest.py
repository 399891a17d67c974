"""A small whole bundle, made of bytes that no engine has to understand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgenn.bundle.manifest import (
    Decode,
    Golden,
    ImageInput,
    Manifest,
    Provenance,
    Tolerance,
    Variant,
)
from edgenn.bundle.store import write_bundle
from edgenn.ops.preprocess import Letterbox, Normalize

MODEL = bytes(range(256)) * 40
GOLDEN = b"golden" * 100
FILES = {"model.onnx": MODEL, "golden.npz": GOLDEN, "card.md": b"# a card"}


@dataclass(frozen=True)
class Made:
    """What lies in the bundle, and ways to put it on disk."""

    manifest: Manifest
    files: dict[str, bytes]
    as_zip: Callable[..., Path]
    as_folder: Callable[..., Path]


@pytest.fixture
def made(tmp_path) -> Made:
    manifest = Manifest(
        name="tiny",
        task="detect",
        labels=("person", "dog"),
        input=ImageInput(
            size=(32, 64), steps=(Letterbox((32, 64)), Normalize((0.5,), (0.25,), 1 / 255))
        ),
        outputs=("boxes", "scores"),
        decode=Decode(name="ltrb", params={"conf": 0.3, "strides": [8, 16]}),
        temporal={"smoothing": {"alpha": 0.5}},
        variants=(
            Variant(
                file="model.onnx",
                engine="onnx",
                precision="fp32",
                tensors={"image": "image", "boxes": "boxes", "scores": "scores"},
                sha256=hashlib.sha256(MODEL).hexdigest(),
                size=len(MODEL),
                metrics={"map": 0.41},
                tolerance=Tolerance(max_abs={"boxes": 1e-3}, agreement=0.99),
            ),
        ),
        golden=Golden(sha256=hashlib.sha256(GOLDEN).hexdigest(), size=len(GOLDEN), count=4),
        provenance=Provenance(edgenn="0.1.0", licence="CC0", data="none", versions={"numpy": "2"}),
    )

    def as_zip(path: Path = tmp_path / "tiny.edgenn", **files: bytes) -> Path:
        write_bundle(manifest, {**FILES, **files}, path)
        return path

    def as_folder(path: Path = tmp_path / "tiny") -> Path:
        path.mkdir()
        for name, data in {"manifest.json": manifest.to_json().encode(), **FILES}.items():
            (path / name).write_bytes(data)
        return path

    return Made(manifest, FILES, as_zip, as_folder)
