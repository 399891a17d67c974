"""Signed bundles: who made it, in which order they were made, and that nothing was changed since.

``signatures.json`` inside a bundle holds a statement and the Ed25519 signatures of it. The
statement names the bundle and the SHA-256 of its manifest, which holds the hash of every other
file, a serial that rises from release to release, and a date that is for people alone: no
decision depends on a clock.

Keys are files: the private one a PEM file that only its owner reads, the public one a line
``edgenn-ed25519 ID KEY`` where ID is the beginning of the key's SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from edgenn import plugins
from edgenn.bundle.manifest import Strict
from edgenn.bundle.store import (
    MANIFEST,
    Bundle,
    hashes,
    open_bundle,
    with_hashes,
    write_bundle,
    write_text,
)
from edgenn.errors import BundleError, TrustError, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURES = "signatures.json"
MAX_SERIAL = (1 << 53) - 1  # every JSON reader has it exactly
_KIND = "edgenn-ed25519"
# Keeps a signature of this from being one of anything else that the key may sign.
_CONTEXT = b"edgenn bundle statement 1\n"
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
    keys: tuple[str, ...] = ()
    bundles: tuple[str, ...] = ()


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
    """

    keys: tuple[PublicKey, ...]
    revoked: Revoked = field(default_factory=Revoked)

    def open(self, path: Path, *, floor: int = 0) -> Trusted:
        """Open a bundle and check every byte of it.

        Args:
            path: A bundle, not a bare model file.
            floor: Smallest serial that will do.

        Raises:
            BundleError: Missing or damaged.
            TrustError: Not signed by one of the keys, changed, revoked or older than ``floor``.
        """
        refuse_bare(path)
        bundle = open_bundle(path)
        signed = _read_signatures(bundle)
        signers = self._signers(signed, str(path))
        statement = _parse(Statement, signed.statement, f"{path}: the signed statement")
        document = hashlib.sha256(bundle.document).hexdigest()
        if (statement.manifest_sha256, statement.name) != (document, bundle.manifest.name):
            raise TrustError(f"{path}: the manifest was changed after it was signed; it is refused")
        if document in self.revoked.bundles:
            raise TrustError(f"{path} is on the list of revoked bundles; it is refused")
        if statement.serial < floor:
            raise TrustError(
                f"{path} has serial {statement.serial}, but {floor} of {statement.name} ran here "
                "before; older releases are refused"
            )
        _check_files(bundle)
        return Trusted(bundle, statement, signers)

    def _signers(self, signed: Signatures, where: str) -> tuple[str, ...]:
        known = {key.id: key for key in self.keys}
        mine = [s for s in signed.signatures if s.key in known]
        if not mine:
            there = ", ".join(s.key for s in signed.signatures)
            raise TrustError(f"{where} is signed by {there}, none of which is a key wanted here")
        standing = [s for s in mine if s.key not in self.revoked.keys]
        if not standing:
            raise TrustError(f"{where} is signed by {mine[0].key}, a key that is revoked")
        good = [s.key for s in standing if _holds(known[s.key], s, signed.statement)]
        if not good:
            raise TrustError(f"{where}: the signature of {standing[0].key} is wrong; it is refused")
        return tuple(good)


def new_key(path: Path) -> str:
    """Make a key pair: the private one at ``path``, the public one at ``path`` + ``.pub``.

    Returns:
        The id of the key.

    Raises:
        UsageError: A file is there already, or cannot be written.
        MissingExtraError: The package cryptography is not installed.
    """
    module, serialization = _ed25519()
    private = module.Ed25519PrivateKey.generate()
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = _public(private)
    public = path.with_name(path.name + ".pub")
    if public.exists():
        raise UsageError(f"{public} is there already; keys are not written over")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
        public.write_text(f"{_KIND} {key.id} {base64.b64encode(key.raw).decode()}\n", "utf-8")
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; keys are not written over") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return key.id


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
    if kind != _KIND or len(raw) != 32 or name != _key_id(raw):
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


def sign(path: Path, key: Path, serial: int | None = None) -> Statement:
    """Sign a bundle; one that is signed gets one more signature of the same statement.

    A manifest that lacks hashes of some files gets them first.

    Args:
        path: The bundle.
        key: File of the private key.
        serial: Number of the release; None takes that of the signatures there.

    Returns:
        What was signed.

    Raises:
        UsageError: No serial, or another one than others have signed; the key is none.
        TrustError: The path is a bare model file.
        BundleError: It cannot be read or written.
        MissingExtraError: The package cryptography is not installed.
    """
    refuse_bare(path)
    private = _read_private(key)
    bundle = open_bundle(path)
    # What is signed is vouched for: a damaged file must not be.
    bundle.check()
    names = dict.fromkeys(bundle.names())
    files = {n: bundle.read(n) for n in names if n not in (MANIFEST, SIGNATURES)}
    manifest = with_hashes(bundle.manifest, files)
    text = manifest.to_json()
    document_hash = hashlib.sha256(text.encode()).hexdigest()
    old = _standing(bundle, document_hash)
    statement_text, others = _agree(old, path, manifest.name, document_hash, serial)
    own = _public(private)
    value = base64.b64encode(private.sign(_CONTEXT + statement_text.encode())).decode()
    signatures = (
        *(s for s in others if s.key != own.id),
        Signature(key=own.id, value=value),
    )
    signed = Signatures(statement=statement_text, signatures=signatures).model_dump_json(indent=1)
    if path.is_dir():
        write_text(path / MANIFEST, text)
        write_text(path / SIGNATURES, signed)
    else:
        write_bundle(manifest, {**files, SIGNATURES: signed.encode()}, path)
    return Statement.model_validate_json(statement_text)


def statement_of(bundle: Bundle) -> Statement | None:
    """What the signatures of a bundle say, unchecked; None where it has none.

    Raises:
        TrustError: The file of signatures is damaged.
    """
    if SIGNATURES not in bundle.names():
        return None
    signed = _read_signatures(bundle)
    return _parse(Statement, signed.statement, f"{bundle.path}: the signed statement")


def refuse_bare(path: Path) -> None:
    """Make sure that a path is not a model file without a bundle around it.

    Raises:
        TrustError: It is one.
    """
    if path.suffix in (".onnx", ".tflite") and path.is_file():
        raise TrustError(
            f"{path} is a bare model file, which holds no signature; use its signed bundle"
        )


def _standing(bundle: Bundle, document_hash: str) -> Signatures | None:
    """Signatures there that are of the manifest as it is."""
    statement = statement_of(bundle)
    if statement is None or statement.manifest_sha256 != document_hash:
        return None
    return _read_signatures(bundle)


def _agree(
    old: Signatures | None, path: Path, name: str, document_hash: str, serial: int | None
) -> tuple[str, Sequence[Signature]]:
    """The statement to sign, and who has signed it before."""
    if old is not None:
        said = Statement.model_validate_json(old.statement)
        if serial in (None, said.serial):
            return old.statement, old.signatures
    if serial is None:
        raise UsageError(
            f"{path} is not signed yet, or was changed since; give --serial, larger than that of "
            "every release before"
        )
    if not 1 <= serial <= MAX_SERIAL:
        raise UsageError(f"a serial lies between 1 and {MAX_SERIAL}, and is not {serial}")
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    statement = Statement(name=name, serial=serial, date=now, manifest_sha256=document_hash)
    return statement.model_dump_json(), ()


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


def _read_signatures(bundle: Bundle) -> Signatures:
    if SIGNATURES not in bundle.names():
        raise TrustError(f"{bundle.path} is not signed; sign it with edgenn sign")
    text = bundle.read(SIGNATURES, _MAX_JSON)
    return _parse(Signatures, text, f"{bundle.path}: {SIGNATURES}")


def _holds(key: PublicKey, signature: Signature, statement: str) -> bool:
    module, _ = _ed25519()
    from cryptography.exceptions import InvalidSignature

    try:
        value = base64.b64decode(signature.value, validate=True)
        public = module.Ed25519PublicKey.from_public_bytes(key.raw)
        public.verify(value, _CONTEXT + statement.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _read_private(path: Path) -> Ed25519PrivateKey:
    module, serialization = _ed25519()
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{path} is no private key; make one with edgenn key new") from error
    if not isinstance(private, module.Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key; make one with edgenn key new")
    found: Ed25519PrivateKey = private
    return found


def _public(private: Ed25519PrivateKey) -> PublicKey:
    raw = private.public_key().public_bytes_raw()
    return PublicKey(_key_id(raw), raw)


def _key_id(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()[:16]


def _ed25519() -> tuple[ModuleType, ModuleType]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ModuleNotFoundError as error:
        raise plugins.missing_extra(error, "signing") from error
    return ed25519, serialization


def _parse(kind: type[M], text: str | bytes, what: str) -> M:
    try:
        return kind.model_validate(json.loads(text))
    except (ValidationError, ValueError, RecursionError) as error:
        first = str(error).splitlines()[0]
        raise TrustError(f"{what} is damaged: {first}") from error
