from __future__ import annotations

import json

import pytest

from edgenn.bundle.manifest import parse_manifest
from edgenn.errors import BundleError


def _changed(made, path: str, value: object) -> str:
    """The manifest's JSON with one value replaced, or taken out where it is None."""
    raw = json.loads(made.manifest.to_json())
    *parents, last = [int(p) if p.isdigit() else p for p in path.split(".")]
    target = raw
    for parent in parents:
        target = target[parent]
    if value is None:
        del target[last]
    else:
        target[last] = value
    return json.dumps(raw)


def test_a_manifest_survives_its_json(made):
    assert parse_manifest(made.manifest.to_json(), "here") == made.manifest


def test_a_window_manifest_survives_its_json(made):
    raw = json.loads(made.manifest.to_json())
    raw |= {"task": "sequence", "outputs": ["logits"], "variants": [], "golden": None}
    raw["input"] = {
        "kind": "window",
        "length": 50,
        "stride": 10,
        "rate": 50,
        "channels": ["ax", "ay"],
        "steps": [{"op": "normalize", "mean": [0, 0], "std": [1, 2]}],
    }
    read = parse_manifest(json.dumps(raw), "here")
    assert read.input.channels == ("ax", "ay")
    assert parse_manifest(read.to_json(), "here") == read


def test_a_grey_picture_survives_its_json(made):
    read = parse_manifest(_changed(made, "input.color", "gray"), "here")
    assert read.input.color == "gray"
    assert parse_manifest(read.to_json(), "here") == read


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_an_unknown_schema_version_is_refused(made, version):
    text = _changed(made, "schema_version", version)
    with pytest.raises(BundleError, match="reads version 1; update edgenn or export") as caught:
        parse_manifest(text, "x.edgenn")
    assert f"x.edgenn: manifest schema version {version!r}" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "<html>", b"\xff\xfe\x00", "[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(BundleError, match=r"x\.edgenn: the manifest is not valid JSON"):
        parse_manifest(text, "x.edgenn")


@pytest.mark.parametrize("text", ["[]", "1", '"text"', "null"])
def test_json_that_is_no_manifest_is_refused(text):
    with pytest.raises(BundleError, match="schema version None is not known"):
        parse_manifest(text, "x.edgenn")


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("labell", ["a"], "labell: Extra inputs"),
        ("labels", [], "labels: "),
        ("task", "segment", "task: "),
        ("input.steps.0.size", [0, 64], "1..8192 pixels, not (0, 64)"),
        ("input.steps.0.size", [64, 64], "first step makes (64, 64)"),
        ("input.steps.0.fill", 3, "fill: "),
        ("input.steps.1.std", [0.0], "std above 0"),
        ("input.steps.1.op", "blur", "blur"),
        ("variants.0.engine", "pickle", "variants.0.engine: "),
        ("variants.0.size", -1, "variants.0.size: "),
        ("variants.0.layout", "nct", "the layout nct is for readings, not pictures"),
        ("variants.0.tensors", {"image": "x"}, "does not map the tensors ['boxes', 'scores']"),
        ("golden.count", 0, "golden.count: "),
        ("provenance", None, "provenance: Field required"),
    ],
)
def test_wrong_values_are_named(made, path, value, reason):
    with pytest.raises(BundleError) as caught:
        parse_manifest(_changed(made, path, value), "x.edgenn")
    assert str(caught.value).startswith("x.edgenn: the manifest is not valid: ")
    assert reason in str(caught.value)


def test_all_faults_are_named_at_once(made):
    raw = json.loads(made.manifest.to_json())
    raw |= {"labels": [], "extra": 1, "task": "sing"}
    with pytest.raises(BundleError) as caught:
        parse_manifest(json.dumps(raw), "x")
    assert all(f"{key}: " in str(caught.value) for key in ("labels", "extra", "task"))
