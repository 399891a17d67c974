"""Models from strangers, broken downloads and wrong inputs: one sentence, never a traceback."""

from __future__ import annotations

import contextlib
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgenn
from edgenn.cli import main
from edgenn.errors import BundleError, ModelError, UsageError


@pytest.fixture
def contents(tiny):
    """Files of tiny-detect by name."""
    with zipfile.ZipFile(tiny / "tiny-detect.edgenn") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def pack(tmp_path):
    def pack(files, name="bad.edgenn", compression=zipfile.ZIP_STORED):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w", compression) as archive:
            for member, data in files.items():
                archive.writestr(member, data)
        return path

    return pack


@pytest.fixture
def chosen(tiny):
    """Name of the file that runs here if nothing is said."""
    return edgenn.load(tiny / "tiny-detect.edgenn").variant.file


def manifest(contents, **changes):
    return {
        **contents,
        "manifest.json": json.dumps({**json.loads(contents["manifest.json"]), **changes}),
    }


def flip(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def test_untouched_it_loads(contents, pack):
    assert edgenn.load(pack(contents)).labels == ("red", "blue")


def test_a_changed_byte_in_a_model(contents, pack, chosen):
    with pytest.raises(BundleError, match=rf"{chosen} does not match its hash"):
        edgenn.load(pack({**contents, chosen: flip(contents[chosen])}))


def test_a_changed_byte_in_the_file(tiny, tmp_path):
    path = tmp_path / "bad.edgenn"
    whole = (tiny / "tiny-detect.edgenn").read_bytes()
    for at in range(100, len(whole), len(whole) // 40):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        # Some bytes belong to other files; whatever is wrong with ours is said, not thrown up.
        with contextlib.suppress(ModelError):
            edgenn.load(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_download_that_stopped(tiny, tmp_path, share):
    path = tmp_path / "bad.edgenn"
    whole = (tiny / "tiny-detect.edgenn").read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError, match="is empty" if share == 0 else "bundle"):
        edgenn.load(path)


@pytest.mark.parametrize("name", ["../evil.onnx", "/etc/evil.onnx", "..\\evil.onnx", "C:evil.onnx"])
def test_a_path_that_leaves_the_bundle(contents, pack, name):
    raw = json.loads(contents["manifest.json"])
    raw["variants"][0]["file"] = name
    with pytest.raises(BundleError, match="leaves the bundle"):
        edgenn.load(pack({**contents, "manifest.json": json.dumps(raw)}))
    with pytest.raises(BundleError, match="leaves the bundle"):
        edgenn.load(pack({**contents, name: b"x"}))


@pytest.mark.parametrize("version", [0, 2, "1", None, [1]])
def test_an_unknown_schema_version(contents, pack, version):
    with pytest.raises(BundleError, match=r"schema version .* is not known"):
        edgenn.load(pack(manifest(contents, schema_version=version)))


def test_every_wrong_key_and_value_is_named(contents, pack):
    bad = manifest(contents, task="detekt", lables=["x"])
    with pytest.raises(BundleError, match=r"task: .*lables: "):
        edgenn.load(pack(bad))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "[" * 100_000, '{"schema_version": 1}', "\x00\xff"]
)
def test_a_manifest_that_is_none(contents, pack, text):
    with pytest.raises(BundleError, match="manifest"):
        edgenn.load(pack({**contents, "manifest.json": text}))


@pytest.mark.parametrize("which", ["manifest", "model"])
def test_a_huge_declared_size(contents, pack, chosen, which):
    member = "manifest.json" if which == "manifest" else chosen
    path = pack(contents)
    data = bytearray(path.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    directory = int.from_bytes(data[end + 16 : end + 20], "little")
    entry = data.rindex(b"PK\x01\x02", 0, data.index(member.encode(), directory))
    data[entry + 20 : entry + 28] = (0xFFFFFFF0).to_bytes(4, "little") * 2
    path.write_bytes(data)
    with pytest.raises(BundleError, match=rf"{member} says it is 4294967280 bytes, over the limit"):
        edgenn.load(path)


def test_a_zip_bomb(contents, pack):
    bomb = {**contents, "manifest.json": b" " * (8 << 20)}
    with pytest.raises(BundleError, match="over the limit"):
        edgenn.load(pack(bomb, compression=zipfile.ZIP_DEFLATED))


def test_an_input_too_large_to_be_true(contents, pack):
    raw = json.loads(contents["manifest.json"])
    raw["input"]["size"] = [100_000, 100_000]
    raw["input"]["steps"][0]["size"] = [100_000, 100_000]
    with pytest.raises(BundleError, match="sides must lie in"):
        edgenn.load(pack(manifest(contents, input=raw["input"])))


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite", "m.edgenn"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "Git LFS pointer"),
        (b"", "is empty"),
    ],
)
def test_what_a_failed_download_leaves(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ModelError, match=message):
        edgenn.load(tmp_path / name)


def test_a_model_file_of_somebody_else(contents, tmp_path, chosen):
    path = tmp_path / f"m{Path(chosen).suffix}"
    path.write_bytes(contents[chosen].replace(b"edgenn.manifest", b"edgenx.manifest"))
    with pytest.raises((ModelError, UsageError), match=r"m\.\w+: "):
        edgenn.load(path)


def test_a_model_file_that_is_cut(contents, tmp_path, chosen):
    path = tmp_path / f"m{Path(chosen).suffix}"
    path.write_bytes(contents[chosen][:500])
    with pytest.raises(ModelError, match=r"m\.\w+"):
        edgenn.load(path)


def test_a_file_that_is_not_what_its_manifest_says(tiny, contents, pack):
    raw = json.loads(contents["manifest.json"])
    raw["input"]["size"] = [32, 32]
    raw["input"]["steps"][0]["size"] = [32, 32]
    with pytest.raises(ModelError, match=r"takes .*64.* but its manifest says"):
        edgenn.load(pack(manifest(contents, input=raw["input"])))


def test_labels_that_do_not_fit_the_outputs(contents, pack):
    model = edgenn.load(pack(manifest(contents, labels=["red", "blue", "green"])))
    with pytest.raises(ModelError, match="3 labels"):
        model.predict(np.zeros((64, 64, 3), np.uint8))


def test_a_decoder_that_nobody_knows(contents, pack):
    with pytest.raises(edgenn.EdgennError, match="ltrb"):
        edgenn.load(pack(manifest(contents, decode={"name": "ltbr"})))
    # A name is a file of one folder, never a path to another.
    with pytest.raises(edgenn.EdgennError, match="no decode"):
        edgenn.load(pack(manifest(contents, decode={"name": "..boxes"})))


def test_the_command_line_says_it_in_one_sentence(
    contents, pack, chosen, clip, monkeypatch, capsys
):
    path = pack({**contents, chosen: flip(contents[chosen])})
    monkeypatch.setattr("sys.argv", ["edgenn", "run", str(path), "--source", str(clip)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 6
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("edgenn: ")
    assert "does not match its hash" in line
