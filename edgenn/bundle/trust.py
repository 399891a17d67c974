"""Signed bundles: who made it, in which order they were made, and that nothing was changed since.

``signatures.json`` inside a bundle holds a statement and the Ed25519 signatures of it. The
statement names the bundle and the SHA-256 of its manifest, which holds the hash of every other
file, a serial that rises from release to release, and a date that is for people alone: no
decision depends on a clock. ``index.json.sig`` beside an index of updates is of the same form, with
the hash of the index and an edition that rises.

A public key is a file with the line ``edgenn-ed25519 ID KEY``, where ID is the beginning of the
key's SHA-256. `edgenn.bundle.signing` makes keys and signatures.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from edgenn import plugins
from edgenn.bundle.manifest import Strict
from edgenn.bundle.store import (
    MANIFEST,
    Bundle,
    hashes,
    open_bundle,
)
from edgenn.errors import BundleError, TrustError, UsageError, faults

SIGNATURES = "signatures.json"
MAX_SERIAL = (1 << 53) - 1  # every JSON reader has it exactly
KEY_KIND = "edgenn-ed25519"
# Keeps a signature of this from being one of anything else that the key may sign.
CONTEXT = b"edgenn bundle statement 1\n"
INDEX_CONTEXT = b"edgenn index statement 1\n"
_MAX_JSON = 1 << 20
M = TypeVar("M", bound=BaseModel)


class Statement(Strict):
    """What is signed.

    Attributes:
        name: Of the model, as in its manifest.
        serial: Rises from release to release of that name.
        date: When it was signed, ISO 8601; for people.
        manifest_sha256: Hash of ``manifest.json``, hex; it is what a bundle is known by.
    """

    version: Literal[1] = 1
    name: str
    serial: int = Field(ge=1, le=MAX_SERIAL)
    date: str
    manifest_sha256: str


class IndexStatement(Strict):
    """What is signed of an index of releases.

    Attributes:
        name: Of the model that it is of.
        edition: Rises with every change of it.
        index_sha256: Hash of the file, hex.
    """

    version: Literal[1] = 1
    name: str
    edition: int = Field(ge=1, le=MAX_SERIAL)
    index_sha256: str


class Signature(Strict):
    """One signature: id of the key, and its 64 bytes in base64."""

    key: str
    value: str


class Signatures(Strict):
    """The file: the statement as JSON text, as its bytes are what is signed."""

    version: Literal[1] = 1
    statement: str
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=16)


class Revoked(Strict):
    """What is no longer trusted.

    Attributes:
        keys: Ids of keys.
        bundles: Hashes of manifests, as `Statement` has them.
    """

    version: Literal[1] = 1
    # Strict, since a typing error would revoke nothing without a word.
    keys: tuple[Annotated[str, Field(pattern="^[0-9a-f]{16}$")], ...] = ()
    bundles: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] = ()


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with: its id, and its 32 bytes."""

    id: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Trusted:
    """A bundle that was checked, and what its signers said of it.

    Attributes:
        bundle: Reads what the signed manifest names.
        statement: What was signed.
        keys: Ids of the trusted keys that signed it.
    """

    bundle: Bundle
    statement: Statement
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """What a bundle has to bring.

    Attributes:
        keys: Any one of them has to have signed it.
        revoked: What counts for nothing.
        list_file: File that is read for each bundle, and then counts as ``revoked``.
    """

    keys: tuple[PublicKey, ...]
    revoked: Revoked = field(default_factory=Revoked)
    list_file: Path | None = None

    def open(self, path: Path, *, floor: int = 0) -> Trusted:
        """Open a bundle and check every byte of it.

        Args:
            path: A bundle, not a bare model file.
            floor: Smallest serial that will do.

        Raises:
            BundleError: Missing or damaged.
            TrustError: Not signed by one of the keys, changed, revoked or older than ``floor``,
                or the list of what is revoked cannot be read.
        """
        refuse_bare(path)
        bundle = open_bundle(path)
        signed, revoked = read_signatures(bundle), self._revoked()
        signers = self._signers(signed, revoked, str(path), CONTEXT)
        statement = _parse(Statement, signed.statement, f"{path}: the signed statement")
        document = hashlib.sha256(bundle.document).hexdigest()
        if (statement.manifest_sha256, statement.name) != (document, bundle.manifest.name):
            raise TrustError(f"{path}: the manifest was changed after it was signed; it is refused")
        if document in revoked.bundles:
            raise TrustError(f"{path} is on the list of revoked bundles; it is refused")
        if statement.serial < floor:
            raise TrustError(
                f"{path} has serial {statement.serial}, but {floor} of {statement.name} ran here "
                "before; older releases are refused"
            )
        _check_files(bundle)
        return Trusted(bundle, statement, signers)

    def open_index(self, data: bytes, signatures: bytes, where: str) -> IndexStatement:
        """Check the signatures that lie beside an index.

        Args:
            data: The index.
            signatures: The file beside it.
            where: What to call that in an error.

        Raises:
            TrustError: Not signed by one of the keys, or not of this index.
        """
        signed = _parse(Signatures, signatures, where)
        self._signers(signed, self._revoked(), where, INDEX_CONTEXT)
        statement = _parse(IndexStatement, signed.statement, f"{where}: the signed statement")
        if statement.index_sha256 != hashlib.sha256(data).hexdigest():
            raise TrustError(f"{where} is of another index than the one beside it; it is ignored")
        return statement

    def _revoked(self) -> Revoked:
        return self.revoked if self.list_file is None else read_revoked(self.list_file)

    def _signers(
        self, signed: Signatures, revoked: Revoked, where: str, context: bytes
    ) -> tuple[str, ...]:
        known = {key.id: key for key in self.keys}
        mine = [s for s in signed.signatures if s.key in known]
        if not mine:
            there = ", ".join(s.key for s in signed.signatures)
            raise TrustError(f"{where} is signed by {there}, none of which is a key wanted here")
        standing = [s for s in mine if s.key not in revoked.keys]
        if not standing:
            raise TrustError(f"{where} is signed by {mine[0].key}, a key that is revoked")
        good = [s.key for s in standing if _holds(known[s.key], s, context, signed.statement)]
        if not good:
            raise TrustError(f"{where}: the signature of {standing[0].key} is wrong; it is refused")
        return tuple(good)


def read_public(path: Path) -> PublicKey:
    """Read a public key.

    Raises:
        UsageError: Missing, or not one.
    """
    try:
        words = path.read_text("utf-8").split()
        kind, name, text = words if len(words) == 3 else ("", "", "")
        raw = base64.b64decode(text, validate=True)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error
    except (UnicodeDecodeError, binascii.Error):
        kind, name, raw = "", "", b""
    if kind != KEY_KIND or len(raw) != 32 or name != key_id(raw):
        raise UsageError(f"{path} is no public key of edgenn; give the .pub file of its key pair")
    return PublicKey(name, raw)


def read_revoked(path: Path) -> Revoked:
    """Read a list of what is revoked: JSON with ``version``, ``keys`` and ``bundles``.

    Raises:
        TrustError: Missing or damaged: then nothing can be trusted.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TrustError(f"cannot read the list of revoked keys {path}: {error}") from error
    return _parse(Revoked, text, f"{path}: the list of revoked keys")


def statement_of(bundle: Bundle) -> Statement | None:
    """What the signatures of a bundle say, unchecked; None where it has none.

    Raises:
        TrustError: The file of signatures is damaged.
    """
    if SIGNATURES not in bundle.names():
        return None
    signed = read_signatures(bundle)
    return _parse(Statement, signed.statement, f"{bundle.path}: the signed statement")


def edition_of(signatures: bytes, where: str) -> int:
    """Edition of the index that signatures are of, unchecked.

    Raises:
        TrustError: They are damaged.
    """
    signed = _parse(Signatures, signatures, where)
    return _parse(IndexStatement, signed.statement, f"{where}: the signed statement").edition


def refuse_bare(path: Path) -> None:
    """Make sure that a path is not a model file without a bundle around it.

    Raises:
        TrustError: It is one.
    """
    if path.suffix in (".onnx", ".tflite") and path.is_file():
        raise TrustError(
            f"{path} is a bare model file, which holds no signature; use its signed bundle"
        )


def _check_files(bundle: Bundle) -> None:
    """Every file is named by the manifest, once, and is what its hash says."""
    names = bundle.names()
    extra = set(names) - set(hashes(bundle.manifest)) - {MANIFEST, SIGNATURES}
    if extra or len(set(names)) != len(names):
        what = sorted(extra)[0] if extra else "a file twice"
        raise TrustError(f"{bundle.path} holds {what}, which nobody has signed; it is refused")
    try:
        bundle.check()
    except BundleError as error:
        raise TrustError(str(error)) from error


def read_signatures(bundle: Bundle) -> Signatures:
    """The signatures in a bundle, unchecked.

    Raises:
        TrustError: It has none, or they are damaged.
    """
    if SIGNATURES not in bundle.names():
        raise TrustError(f"{bundle.path} is not signed; sign it with edgenn sign")
    text = bundle.read(SIGNATURES, _MAX_JSON)
    return _parse(Signatures, text, f"{bundle.path}: {SIGNATURES}")


def _holds(key: PublicKey, signature: Signature, context: bytes, statement: str) -> bool:
    module, _ = ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        value = base64.b64decode(signature.value, validate=True)
        public = module.Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(value, context + statement.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def key_id(raw: bytes) -> str:
    """What a public key of 32 bytes is called."""
    return hashlib.sha256(raw).hexdigest()[:16]


def ed25519() -> tuple[ModuleType, ModuleType]:
    """The modules ``ed25519`` and ``serialization`` of cryptography.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "signing") from error
    return ed25519, serialization


def _parse(kind: type[M], text: str | bytes, what: str) -> M:
    try:
        return kind.model_validate(json.loads(text))
    except ValidationError as error:
        raise TrustError(f"{what} is damaged: {faults(error, 1)}") from error
    except (ValueError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise TrustError(f"{what} is damaged: {first}") from error
