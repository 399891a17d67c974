"""Reading and writing bundles: ``NAME.edgenn``, a stored zip, or a folder of the same files.

A bundle is data from a stranger. Nothing of it is executed or unpickled, no
name may leave it, sizes are bounded before anything is read, and every file is
checked against the hash in the manifest.
"""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from edgenn.bundle.manifest import Manifest, Member, parse_manifest
from edgenn.errors import BundleError, ModelError

MANIFEST = "manifest.json"
MAX_MANIFEST = 4 << 20
MAX_FILE = 1 << 30
MAX_MEMBERS = 256
# Zip entries carry a time; a fixed one keeps equal content equal to the byte.
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Bundle:
    """An opened bundle: its manifest, and checked access to its files.

    Attributes:
        path: Where it lies.
        manifest: What it says of itself.
        document: The bytes that the manifest was read from.
    """

    def __init__(
        self, path: Path, manifest: Manifest, read: Callable[[str, int], bytes], document: bytes
    ) -> None:
        self.path = path
        self.manifest = manifest
        self.document = document
        self._read = read

    def read(self, name: str, limit: int = MAX_FILE) -> bytes:
        """Bytes of one file, checked against the manifest's hash where it has one.

        Raises:
            BundleError: No such file, too large, or changed since the export.
        """
        data = self._read(name, limit)
        wanted = self._hashes().get(name)
        if wanted is not None and hashlib.sha256(data).hexdigest() != wanted:
            raise BundleError(
                f"{self.path}: {name} does not match its hash in the manifest; "
                "the bundle was changed or damaged, copy it again or export it anew"
            )
        return data

    def check(self) -> None:
        """Read and check every file that the manifest names.

        Raises:
            BundleError: As for `read`.
        """
        for name in self._hashes():
            self.read(name)

    def member(self, member: Member) -> Bundle:
        """Open a bundle that lies inside this one.

        Raises:
            BundleError: As for `read`, or it is no bundle.
        """
        path = self.path / member.file
        return _open(path, _zip_reader(path, self.read(member.file)))

    def names(self) -> list[str]:
        """Names of all files in it, also of those that the manifest does not name.

        Raises:
            BundleError: It cannot be read.
        """
        try:
            if self.path.is_dir():
                files = sorted(p for p in self.path.rglob("*") if not p.is_dir())
                return [p.relative_to(self.path).as_posix() for p in files]
            with zipfile.ZipFile(self.path) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            raise BundleError(f"{self.path} cannot be read as a bundle: {error}") from error

    def _hashes(self) -> dict[str, str]:
        return hashes(self.manifest)


def hashes(manifest: Manifest) -> dict[str, str]:
    """Name to SHA-256, hex, of every file that a manifest has a hash for."""
    found = dict(manifest.files) | {v.file: v.sha256 for v in manifest.variants}
    found |= {member.file: member.sha256 for member in manifest.members}
    if manifest.golden is not None:
        found[manifest.golden.file] = manifest.golden.sha256
    return found


def with_hashes(manifest: Manifest, files: Mapping[str, bytes]) -> Manifest:
    """The manifest with a hash of each file that it had none for.

    Args:
        manifest: Of a bundle of these files.
        files: Name to content.
    """
    known = hashes(manifest)
    more = {n: hashlib.sha256(data).hexdigest() for n, data in files.items() if n not in known}
    if not more:
        return manifest
    return manifest.model_copy(update={"files": {**manifest.files, **more}})


def open_bundle(path: Path) -> Bundle:
    """Open a bundle for reading.

    Raises:
        BundleError: Missing, not a bundle, unsafe, damaged or of an unknown version.
    """
    if path.is_dir():
        return _open(path, _folder_reader(path))
    if not path.is_file():
        raise BundleError(f"there is no bundle at {path}")
    try:
        with path.open("rb") as file:
            refuse_impostor(file.read(512), str(path))
            if not zipfile.is_zipfile(file):
                raise BundleError(f"{path} is not a bundle: it is neither a zip file nor a folder")
    except OSError as error:
        raise BundleError(f"cannot read {path}: {error.strerror}") from error
    return _open(path, _zip_reader(path))


def write_bundle(manifest: Manifest, files: Mapping[str, bytes], out: Path) -> None:
    """Write a bundle as a stored zip, whole or not at all.

    Args:
        manifest: Goes in as ``manifest.json``.
        files: Name to content of all other files.
        out: Path of the zip.

    Raises:
        BundleError: It cannot be written; nothing half-written remains.
    """
    write_members({MANIFEST: manifest.to_json().encode(), **files}, out)


def write_members(files: Mapping[str, bytes], out: Path) -> None:
    """Write the files of a bundle, of which one is its manifest; see `write_bundle`."""

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(_safe(name, str(out)), _EPOCH), data)

    atomically(out, write)


def replace_manifest(path: Path, manifest: Manifest) -> None:
    """Give a bundle another manifest and leave its other files as they are.

    Args:
        path: The bundle, a zip or a folder.
        manifest: Describes the same files.

    Raises:
        BundleError: It cannot be read or written; it is then as it was before.
    """
    if path.is_dir():
        write_text(path / MANIFEST, manifest.to_json())
        return
    bundle = open_bundle(path)
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name != MANIFEST]
    write_bundle(manifest, {name: bundle.read(name) for name in names}, path)


def atomically(out: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``out``, then rename it to ``out``.

    Raises:
        BundleError: The folder cannot be written or the disk is full.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(temporary)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(out)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BundleError(f"cannot write {out}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all; see `atomically`."""

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8")

    atomically(path, write)


def refuse_impostor(head: bytes, where: str) -> None:
    """Refuse what a failed download leaves in place of a model.

    Args:
        head: The first bytes of the file.
        where: What to call it in an error.

    Raises:
        ModelError: Empty, a Git LFS pointer or a web page.
    """
    start = head.lstrip().lower()
    if not head:
        raise ModelError(f"{where} is empty; download or copy it again")
    if start.startswith(b"version https://git-lfs"):
        raise ModelError(f"{where} is a Git LFS pointer, not the file itself; run 'git lfs pull'")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise ModelError(f"{where} is a web page, not a model; the download went wrong")


def _open(path: Path, read: Callable[[str, int], bytes]) -> Bundle:
    document = read(MANIFEST, MAX_MANIFEST)
    manifest = parse_manifest(document, str(path))
    for variant in manifest.variants:
        _safe(variant.file, str(path))
        if not variant.sha256:
            raise BundleError(f"{path}: the manifest has no hash for {variant.file}")
    for member in manifest.members:
        _safe(member.file, str(path))
    if manifest.golden is not None:
        _safe(manifest.golden.file, str(path))
    for name in manifest.files:
        _safe(name, str(path))
    return Bundle(path, manifest, read, document)


def _safe(name: str, where: str) -> str:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or set(name) & {"\\", ":", "\0"}:
        raise BundleError(f"{where}: the file name {name!r} leaves the bundle; it is refused")
    return name


def _folder_reader(path: Path) -> Callable[[str, int], bytes]:
    root = path.resolve()

    def read(name: str, limit: int) -> bytes:
        try:
            target = (root / _safe(name, str(path))).resolve()
            if not target.is_relative_to(root):
                raise BundleError(f"{path}: {name!r} is a link that leaves the bundle; refused")
            if not target.is_file():
                raise BundleError(f"{path} has no {name}; is it an edgenn bundle?")
            _bound(target.stat().st_size, limit, name, path)
            return target.read_bytes()
        except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before 3.13
            raise BundleError(f"cannot read {name} of {path}: {error}") from error

    return read


def _zip_reader(path: Path, data: bytes | None = None) -> Callable[[str, int], bytes]:
    """Reads files of a zip at ``path``, or of one whose bytes are there already."""

    def read(name: str, limit: int) -> bytes:
        try:
            with zipfile.ZipFile(path if data is None else io.BytesIO(data)) as archive:
                members = archive.infolist()
                if len(members) > MAX_MEMBERS:
                    raise BundleError(f"{path} holds {len(members)} files; it is refused")
                for member in members:
                    _safe(member.filename, str(path))
                if name == MANIFEST and name not in archive.namelist():
                    raise BundleError(_no_bundle(path, [m.filename for m in members]))
                info = archive.getinfo(_safe(name, str(path)))
                _bound(info.file_size, limit, name, path)
                if info.compress_type != zipfile.ZIP_STORED:
                    raise BundleError(f"{path}: {name} is compressed; bundles are stored zips")
                return archive.read(info)
        except KeyError:
            raise BundleError(f"{path} has no {name}; is it an edgenn bundle?") from None
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as error:
            raise BundleError(f"{path} cannot be read as a bundle: {error}") from error

    return read


def _no_bundle(path: Path, names: list[str]) -> str:
    """What a zip is that has no manifest, such as MediaPipe's ``.task`` files."""
    models = [name for name in names if name.endswith((".onnx", ".tflite", ".task"))]
    if not models:
        return f"{path} has no {MANIFEST}; is it an edgenn bundle?"
    return f"{path} is no edgenn bundle but an archive: unpack it, and take {' or '.join(models)}"


def _bound(size: int, limit: int, name: str, path: Path) -> None:
    if size > limit:
        raise BundleError(
            f"{path}: {name} says it is {size} bytes, over the limit of {limit}; it is refused"
        )
