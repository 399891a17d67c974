from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgenn.bundle.store import (
    MAX_MANIFEST,
    MAX_MEMBERS,
    atomically,
    open_bundle,
    replace_manifest,
    write_bundle,
)
from edgenn.errors import BundleError, EdgennError, ModelError


def _zip(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def _all_files(made) -> dict[str, bytes]:
    return {"manifest.json": made.manifest.to_json().encode(), **made.files}


def _with_file(made, name: str) -> bytes:
    """The manifest, its model file called ``name``."""
    raw = json.loads(made.manifest.to_json())
    raw["variants"][0]["file"] = name
    return json.dumps(raw).encode()


@pytest.mark.parametrize("form", ["as_zip", "as_folder"])
def test_what_was_written_is_read(made, form):
    bundle = open_bundle(getattr(made, form)())
    bundle.check()
    assert bundle.manifest == made.manifest
    for name, data in made.files.items():
        assert bundle.read(name) == data


def test_equal_content_gives_equal_bytes(made, tmp_path):
    one, two = made.as_zip(tmp_path / "1.edgenn"), made.as_zip(tmp_path / "sub" / "2.edgenn")
    assert one.read_bytes() == two.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {i.date_time for i in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_bundle_is_a_plain_zip_that_is_not_compressed(made):
    with zipfile.ZipFile(made.as_zip()) as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == ["manifest.json", *made.files]


def test_an_unpacked_zip_is_the_bundle_as_a_folder(made, tmp_path):
    with zipfile.ZipFile(made.as_zip()) as archive:
        archive.extractall(tmp_path / "out")
    open_bundle(tmp_path / "out").check()


def test_a_changed_byte_is_noticed_in_a_folder(made):
    folder = made.as_folder()
    data = bytearray(made.files["model.onnx"])
    data[1000] ^= 1
    (folder / "model.onnx").write_bytes(data)
    bundle = open_bundle(folder)
    with pytest.raises(BundleError, match=r"model\.onnx does not match its hash"):
        bundle.read("model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx does not match its hash"):
        bundle.check()


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_an_exchanged_file_is_noticed_in_a_zip(made, tmp_path, name):
    files = {**_all_files(made), name: b"another"}
    bundle = open_bundle(_zip(tmp_path / "x.edgenn", files))
    with pytest.raises(BundleError, match=f"{name} does not match its hash"):
        bundle.check()


def test_any_changed_byte_is_noticed_or_harmless(made, tmp_path):
    good = bytearray(made.as_zip().read_bytes())
    rng, target = np.random.default_rng(0), tmp_path / "bad.edgenn"
    # Headers and the directory at the end, where parsing could go astray, and some of the rest.
    places = {*range(100), *range(len(good) - 400, len(good)), *rng.integers(0, len(good), 200)}
    noticed = 0
    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= int(rng.integers(1, 256))
        target.write_bytes(bad)
        try:
            bundle = open_bundle(target)
            bundle.check()
        except EdgennError:
            noticed += 1
        else:
            assert all(bundle.read(n) == made.files[n] for n in ("model.onnx", "golden.npz"))
    assert noticed > len(places) / 2


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_bundle_cut_short_is_refused(made, tmp_path, share):
    whole = made.as_zip().read_bytes()
    cut = tmp_path / "cut.edgenn"
    cut.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError, match="is not a bundle"):
        open_bundle(cut)


@pytest.mark.parametrize(
    "name", ["../out", "/etc/passwd", "a/../../b", "..\\out", "c:out", ".", ""]
)
def test_a_name_that_leaves_the_bundle_is_refused(made, tmp_path, name):
    files = {**_all_files(made), "manifest.json": _with_file(made, name)}
    folder = made.as_folder()
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    for path in (folder, _zip(tmp_path / "x.edgenn", files)):
        with pytest.raises(BundleError, match="leaves the bundle; it is refused"):
            open_bundle(path)
    with pytest.raises(BundleError, match="leaves the bundle; it is refused"):
        write_bundle(made.manifest, {name: b""}, tmp_path / "y.edgenn")
    assert not (tmp_path / "y.edgenn").exists()


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "sub\\..\\..\\out.txt"])
def test_a_zip_with_a_member_outside_is_refused(made, tmp_path, name):
    archive = _zip(tmp_path / "x.edgenn", {**_all_files(made), name: b"out"})
    with pytest.raises(BundleError, match="leaves the bundle; it is refused"):
        open_bundle(archive)


def test_reading_takes_no_name_that_leaves(made):
    for path in (made.as_zip(), made.as_folder()):
        bundle = open_bundle(path)
        for name in ("../secret", "model.onnx\0.txt"):
            with pytest.raises(BundleError, match="leaves the bundle"):
                bundle.read(name)


def test_a_link_out_of_the_folder_is_refused(made, tmp_path):
    folder = made.as_folder()
    (tmp_path / "secret").write_bytes(made.files["model.onnx"])
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(tmp_path / "secret")
    with pytest.raises(BundleError, match=r"'model\.onnx' is a link that leaves the bundle"):
        open_bundle(folder).check()


def test_a_link_in_a_circle_is_refused(made):
    folder = made.as_folder()
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to(folder / "model.onnx")
    with pytest.raises(BundleError, match=r"model\.onnx"):
        open_bundle(folder).check()


def test_a_link_within_the_folder_is_followed(made):
    folder = made.as_folder()
    (folder / "model.onnx").rename(folder / "real.onnx")
    (folder / "model.onnx").symlink_to("real.onnx")
    open_bundle(folder).check()


def test_a_manifest_too_large_is_refused_unread(made, tmp_path):
    files = {"manifest.json": b" " * (MAX_MANIFEST + 1)}
    folder = made.as_folder()
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    for path in (folder, _zip(tmp_path / "x.edgenn", files)):
        with pytest.raises(BundleError, match=f"over the limit of {MAX_MANIFEST}; it is refused"):
            open_bundle(path)


def test_a_huge_declared_size_is_refused_unread(made):
    path = made.as_zip()
    data = bytearray(path.read_bytes())
    # The directory entry of model.onnx: its sizes lie 20 and 24 bytes in, its name at 46.
    entry = data.rfind(b"model.onnx") - 46
    data[entry + 20 : entry + 28] = (3 << 30).to_bytes(4, "little") * 2
    path.write_bytes(data)
    bundle = open_bundle(path)
    with pytest.raises(BundleError, match=f"says it is {3 << 30} bytes, over the limit"):
        bundle.read("model.onnx")


def test_a_compressed_member_is_refused(made, tmp_path):
    path = _zip(tmp_path / "x.edgenn", _all_files(made), zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match=r"manifest\.json is compressed; bundles are stored"):
        open_bundle(path)


def test_a_zip_of_too_many_files_is_refused(made, tmp_path):
    more = {f"{i}.txt": b"" for i in range(MAX_MEMBERS)}
    path = _zip(tmp_path / "x.edgenn", {**_all_files(made), **more})
    with pytest.raises(BundleError, match=f"holds {MAX_MEMBERS + 4} files; it is refused"):
        open_bundle(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page, not a model"),
        (b"\n  <HTML>sign in</HTML>", "is a web page, not a model"),
        (b"\x80\x04\x95some pickle", "is not a bundle"),
    ],
)
def test_what_a_failed_download_leaves_is_named(tmp_path, content, sentence):
    path = tmp_path / "x.edgenn"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=sentence) as caught:
        open_bundle(path)
    assert str(path) in str(caught.value)


def test_a_path_with_nothing_there_is_named(tmp_path):
    with pytest.raises(BundleError, match="there is no bundle at"):
        open_bundle(tmp_path / "x.edgenn")


def test_a_folder_or_zip_that_is_no_bundle_is_named(tmp_path):
    for path in (tmp_path, _zip(tmp_path / "x.zip", {"a.txt": b"a"})):
        with pytest.raises(BundleError, match=r"has no manifest\.json; is it an edgenn bundle\?"):
            open_bundle(path)


def test_an_archive_of_models_names_them(tmp_path):
    path = _zip(tmp_path / "hand.task", {"palm.tflite": b"a", "hand.tflite": b"b", "x.txt": b"c"})
    with pytest.raises(BundleError, match=r"unpack it, and take palm\.tflite or hand\.tflite$"):
        open_bundle(path)


def test_a_file_that_the_manifest_names_but_is_missing(made, tmp_path):
    files = _all_files(made)
    del files["golden.npz"]
    with pytest.raises(BundleError, match=r"has no golden\.npz"):
        open_bundle(_zip(tmp_path / "x.edgenn", files)).check()


def test_a_variant_without_a_hash_is_refused(made, tmp_path):
    raw = json.loads(made.manifest.to_json())
    raw["variants"][0]["sha256"] = ""
    files = {**_all_files(made), "manifest.json": json.dumps(raw).encode()}
    with pytest.raises(BundleError, match=r"no hash for model\.onnx"):
        open_bundle(_zip(tmp_path / "x.edgenn", files))


def test_an_encrypted_member_is_refused(made):
    path = made.as_zip()
    data = bytearray(path.read_bytes())
    first, entry = data.find(b"PK\x03\x04"), data.find(b"PK\x01\x02")
    data[first + 6] |= 1
    data[entry + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match="encrypted"):
        open_bundle(path)


def test_a_full_disk_leaves_the_old_bundle_and_nothing_else(made):
    path = made.as_zip()
    before = path.read_bytes()
    # The kernel refuses to write past the limit, as it does when the disk is full.
    script = f"""
import resource, sys
from pathlib import Path
from edgenn.bundle.store import open_bundle, write_bundle
from edgenn.errors import BundleError
path = Path({str(path)!r})
bundle = open_bundle(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_bundle(bundle.manifest, {{"model.onnx": bytes(100_000)}}, path)
except BundleError as error:
    sys.exit(str(error))
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr.strip() == f"cannot write {path}: File too large"
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_nothing(tmp_path):
    def interrupted(temporary: Path) -> None:
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        atomically(tmp_path / "x.edgenn", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named(made, tmp_path):
    (tmp_path / "file").write_text("in the way")
    out = tmp_path / "file" / "x.edgenn"
    with pytest.raises(BundleError, match=f"cannot write {out}: "):
        write_bundle(made.manifest, {}, out)
    (tmp_path / "folder.edgenn").mkdir()
    with pytest.raises(BundleError, match=r"cannot write .*: Is a directory"):
        write_bundle(made.manifest, {}, tmp_path / "folder.edgenn")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.edgenn"]


@pytest.mark.parametrize("folder", [False, True])
def test_another_manifest_leaves_the_files_as_they_are(tiny, tmp_path, folder):
    path = tmp_path / "x.edgenn"
    shutil.copy(tiny / "tiny-detect.edgenn", path)
    if folder:
        path = tmp_path / "x"
        with zipfile.ZipFile(tmp_path / "x.edgenn") as archive:
            archive.extractall(path)
    old = open_bundle(path)
    files = {v.file: old.read(v.file) for v in old.manifest.variants}
    replace_manifest(path, old.manifest.model_copy(update={"name": "other"}))
    new = open_bundle(path)
    new.check()
    assert new.manifest.name == "other"
    assert {name: new.read(name) for name in files} == files
