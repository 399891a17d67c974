from __future__ import annotations

import errno
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgenn import plugins
from edgenn.bundle import signing
from edgenn.bundle.signing import new_key, sign
from edgenn.bundle.store import open_bundle, replace_manifest
from edgenn.bundle.trust import Policy, Revoked, read_public, read_revoked
from edgenn.errors import MissingExtraError, TrustError, UsageError


@pytest.fixture
def key(tmp_path):
    new_key(tmp_path / "one.key")
    return tmp_path / "one.key"


@pytest.fixture
def public(key):
    return read_public(key.with_name("one.key.pub"))


@pytest.fixture
def policy(public):
    return Policy((public,))


def rewrite(path, change):
    """Let ``change`` edit the files of a zip, name to content."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_a_key_pair_is_two_files_of_which_one_is_private(key, public):
    assert key.stat().st_mode & 0o777 == 0o600
    (line,) = (key.parent / "one.key.pub").read_text().splitlines()
    assert line.split()[:2] == ["edgenn-ed25519", public.id]
    assert public.id == hashlib.sha256(public.raw).hexdigest()[:16]
    before = key.read_bytes()
    with pytest.raises(UsageError, match="not written over"):
        new_key(key)
    assert key.read_bytes() == before
    with pytest.raises(UsageError, match="is no file; give a key a name"):
        new_key(Path())
    (key.parent / "two.key.pub").write_text("")
    with pytest.raises(UsageError, match="not written over"):
        new_key(key.parent / "two.key")
    assert not (key.parent / "two.key").exists()


def test_a_full_disk_leaves_no_half_of_a_pair(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        with pytest.raises(UsageError, match="No space left on device"):
            new_key(tmp_path / "fleet.key")
    assert not list(tmp_path.iterdir())
    new_key(tmp_path / "fleet.key")


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_a_signed_bundle_is_trusted_and_every_file_has_a_hash(made, key, policy, kind):
    path = made.as_zip() if kind == "zip" else made.as_folder()
    said = sign(path, key, 7)
    trusted = policy.open(path)
    assert (trusted.statement, trusted.statement.serial) == (said, 7)
    assert trusted.statement.name == "tiny"
    assert trusted.bundle.manifest.files == {
        "card.md": hashlib.sha256(made.files["card.md"]).hexdigest()
    }
    assert trusted.bundle.read("card.md") == made.files["card.md"]


def test_a_bundle_of_before_manifests_named_all_files_can_be_read(made):
    assert "files" not in json.loads(made.manifest.model_dump_json(exclude={"files"}))
    path = made.as_zip()
    document = made.manifest.model_dump_json(exclude={"files"}).encode()
    rewrite(path, lambda files: files.update({"manifest.json": document}))
    assert open_bundle(path).manifest == made.manifest


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "card.md"])
def test_a_changed_file_is_refused(made, key, policy, name):
    path = made.as_zip()
    sign(path, key, 1)
    rewrite(path, lambda files: files.update({name: files[name][:-1] + b"!"}))
    with pytest.raises(TrustError, match=f"{name} does not match its hash"):
        policy.open(path)


def test_a_changed_manifest_an_added_file_and_a_missing_one_are_refused(made, key, policy):
    path = made.as_zip()
    sign(path, key, 1)
    other = open_bundle(path).manifest.model_copy(update={"temporal": {}})
    signed = path.read_bytes()
    replace_manifest(path, other)
    with pytest.raises(TrustError, match="manifest was changed after it was signed"):
        policy.open(path)
    path.write_bytes(signed)
    rewrite(path, lambda files: files.update({"evil.py": b"import os"}))
    with pytest.raises(TrustError, match=r"holds evil\.py, which nobody has signed"):
        policy.open(path)
    path.write_bytes(signed)
    rewrite(path, lambda files: files.pop("card.md"))
    with pytest.raises(TrustError, match=r"has no card\.md"):
        policy.open(path)


def test_a_file_that_is_there_twice_is_refused(made, key, policy):
    path = made.as_zip()
    sign(path, key, 1)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("card.md", made.files["card.md"])
    with pytest.raises(TrustError, match="a file twice"):
        policy.open(path)


def test_a_statement_of_another_bundle_or_serial_does_not_hold(made, key, policy):
    path = made.as_zip()
    sign(path, key, 1)

    def raise_serial(files):
        signed = json.loads(files["signatures.json"])
        signed["statement"] = signed["statement"].replace('"serial":1', '"serial":9')
        files["signatures.json"] = json.dumps(signed).encode()

    rewrite(path, raise_serial)
    with pytest.raises(TrustError, match="is wrong; it is refused"):
        policy.open(path)
    rewrite(path, lambda files: files.update({"signatures.json": b"{]"}))
    with pytest.raises(TrustError, match=r"signatures\.json is damaged"):
        policy.open(path)


def test_unsigned_bundles_bare_files_and_foreign_keys_are_refused(made, key, policy, tmp_path):
    path = made.as_zip()
    with pytest.raises(TrustError, match="is not signed"):
        policy.open(path)
    bare = tmp_path / "model.onnx"
    bare.write_bytes(b"x")
    for refused in (lambda: policy.open(bare), lambda: sign(bare, key, 1)):
        with pytest.raises(TrustError, match="bare model file"):
            refused()
    new_key(tmp_path / "other.key")
    sign(path, tmp_path / "other.key", 1)
    with pytest.raises(TrustError, match="none of which is a key wanted here"):
        policy.open(path)


def test_any_of_several_keys_will_do_and_a_revoked_one_does_not(made, key, public, tmp_path):
    new_key(tmp_path / "two.key")
    two = read_public(tmp_path / "two.key.pub")
    path = made.as_zip()
    sign(path, key, 5)
    alone = tmp_path / "alone.edgenn"
    shutil.copy(path, alone)
    sign(path, tmp_path / "two.key")
    assert Policy((public, two)).open(path).keys == (public.id, two.id)
    assert Policy((two,)).open(path).keys == (two.id,)
    revoked = Revoked(keys=(public.id,))
    assert Policy((public, two), revoked).open(path).keys == (two.id,)
    with pytest.raises(TrustError, match=f"{public.id}, a key that is revoked"):
        Policy((public, two), revoked).open(alone)
    replace_manifest(path, open_bundle(path).manifest.model_copy(update={"temporal": {}}))
    with pytest.raises(UsageError, match="give --serial"):
        sign(path, key)


def test_revoked_bundles_and_older_serials_are_refused(made, key, public, tmp_path):
    path = made.as_zip()
    said = sign(path, key, 5)
    listed = tmp_path / "revoked.json"
    listed.write_text(json.dumps({"version": 1, "bundles": [said.manifest_sha256]}))
    with pytest.raises(TrustError, match="list of revoked bundles"):
        Policy((public,), read_revoked(listed)).open(path)
    assert Policy((public,)).open(path, floor=5).statement.serial == 5
    with pytest.raises(TrustError, match="has serial 5, but 6 of tiny ran here before"):
        Policy((public,)).open(path, floor=6)
    short, loud = json.dumps({"bundles": ["9f2c"]}), json.dumps({"keys": [public.id.upper() + "A"]})
    for damaged in ("{", '{"version": 2}', '{"key": []}', short, loud):
        listed.write_text(damaged)
        with pytest.raises(TrustError, match="list of revoked keys is damaged"):
            read_revoked(listed)


def test_dates_decide_nothing(made, key, policy, monkeypatch):
    class Long(signing.datetime):
        @classmethod
        def now(cls, tz=None):
            return signing.datetime(1970, 1, 1, tzinfo=tz)

    path = made.as_zip()
    with monkeypatch.context() as patched:
        patched.setattr(signing, "datetime", Long)
        assert sign(path, key, 2).date.startswith("1970-01-01")
    assert policy.open(path, floor=1).statement.serial == 2


def test_what_is_no_key_is_told(made, tmp_path, key):
    path = made.as_zip()
    with pytest.raises(UsageError, match="is no public key"):
        read_public(key)
    with pytest.raises(UsageError, match="is no private key"):
        sign(path, tmp_path / "one.key.pub", 1)
    with pytest.raises(UsageError, match="cannot read the key"):
        read_public(tmp_path / "nowhere")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="give --serial"):
        sign(path, key)
    assert path.read_bytes() == before


def test_the_library_is_only_wanted_where_something_is_signed_or_checked(monkeypatch, made, policy):
    script = (
        "import sys, edgenn.bundle.trust, edgenn.cli.run, edgenn.cli.sign, edgenn.cli.key\n"
        "assert 'cryptography' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert plugins.EXTRAS["cryptography"] == "sign"
    for name in [m for m in sys.modules if m.startswith("cryptography")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'edgenn\[sign\]'"):
        new_key(made.as_zip().with_name("k"))
