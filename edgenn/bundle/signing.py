"""Makes keys, and the signatures that `edgenn.bundle.trust` checks; not for devices."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from edgenn.bundle.store import MANIFEST, Bundle, open_bundle, with_hashes, write_bundle, write_text
from edgenn.bundle.trust import (
    CONTEXT,
    INDEX_CONTEXT,
    KEY_KIND,
    MAX_SERIAL,
    SIGNATURES,
    IndexStatement,
    PublicKey,
    Signature,
    Signatures,
    Statement,
    ed25519,
    key_id,
    read_signatures,
    refuse_bare,
    statement_of,
)
from edgenn.errors import UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def new_key(path: Path) -> str:
    """Make a key pair: the private one at ``path``, the public one at ``path`` + ``.pub``.

    Returns:
        The id of the key.

    Raises:
        UsageError: A file is there already, or cannot be written.
        MissingExtraError: The package cryptography is not installed.
    """
    if not path.name:
        raise UsageError(f"{path} is no file; give a key a name, such as fleet.key")
    module, serialization = ed25519()
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
    line = f"{KEY_KIND} {key.id} {base64.b64encode(key.raw).decode()}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise UsageError(f"{path} is there already; keys are not written over") from error
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(pem)
        public.write_text(line, "utf-8")
    except OSError as error:  # half a pair would be in the way of the next try
        path.unlink(missing_ok=True)
        public.unlink(missing_ok=True)
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    return key.id


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
    own = _signature(private, CONTEXT, statement_text)
    signatures = (*(s for s in others if s.key != own.key), own)
    signed = Signatures(statement=statement_text, signatures=signatures).model_dump_json(indent=1)
    if path.is_dir():
        write_text(path / MANIFEST, text)
        write_text(path / SIGNATURES, signed)
    else:
        write_bundle(manifest, {**files, SIGNATURES: signed.encode()}, path)
    return Statement.model_validate_json(statement_text)


def sign_index(data: bytes, name: str, edition: int, keys: Sequence[Path]) -> str:
    """Sign an index of releases.

    Args:
        data: The index as it is served.
        name: Of the model that it is of.
        edition: Larger than that of every index of that name before.
        keys: Files of private keys.

    Returns:
        What lies beside it as ``index.json.sig``.

    Raises:
        UsageError: A key is none.
        MissingExtraError: The package cryptography is not installed.
    """
    digest = hashlib.sha256(data).hexdigest()
    statement = IndexStatement(name=name, edition=edition, index_sha256=digest).model_dump_json()
    signed = tuple(_signature(_read_private(key), INDEX_CONTEXT, statement) for key in keys)
    return Signatures(statement=statement, signatures=signed).model_dump_json(indent=1)


def _signature(private: Ed25519PrivateKey, context: bytes, statement: str) -> Signature:
    value = base64.b64encode(private.sign(context + statement.encode())).decode()
    return Signature(key=_public(private).id, value=value)


def _standing(bundle: Bundle, document_hash: str) -> Signatures | None:
    """Signatures there that are of the manifest as it is."""
    statement = statement_of(bundle)
    if statement is None or statement.manifest_sha256 != document_hash:
        return None
    return read_signatures(bundle)


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


def _read_private(path: Path) -> Ed25519PrivateKey:
    module, serialization = ed25519()
    try:
        private = serialization.load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise UsageError(f"cannot read the key {path}: {error.strerror}") from error
    except TypeError as error:
        raise UsageError(f"{path} has a password; edgenn's keys have none") from error
    except ValueError as error:
        raise UsageError(f"{path} is no private key; make one with edgenn key new") from error
    if not isinstance(private, module.Ed25519PrivateKey):
        raise UsageError(f"{path} is no Ed25519 key; make one with edgenn key new")
    found: Ed25519PrivateKey = private
    return found


def _public(private: Ed25519PrivateKey) -> PublicKey:
    raw = private.public_key().public_bytes_raw()
    return PublicKey(key_id(raw), raw)
