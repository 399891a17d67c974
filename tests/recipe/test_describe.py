from __future__ import annotations

from pathlib import Path

import pytest

from edgenn.recipe.describe import json_schema, keys
from edgenn.recipe.load import load_recipe

ROOT = Path(__file__).resolve().parents[2]


def _schema_keys(node: dict, schema: dict, prefix: str = "") -> dict[str, dict]:
    found = {}
    for name, inner in node["properties"].items():
        section = schema["$defs"].get(inner.get("$ref", "").rpartition("/")[2])
        if section is None:
            found[prefix + name] = inner
        else:
            found |= _schema_keys(section, schema, f"{prefix}{name}.")
    return found


def test_the_json_schema_and_the_help_name_the_same_keys():
    schema = json_schema()
    in_schema = _schema_keys(schema, schema)
    in_help = dict(keys())
    assert list(in_help) == list(in_schema)
    assert "train.epochs" in in_help
    for key, node in in_schema.items():
        assert in_help[key].startswith(node.get("description", "")), key


def test_the_json_schema_refuses_unknown_keys_in_every_section():
    schema = json_schema()
    for section in (schema, *schema["$defs"].values()):
        assert section["additionalProperties"] is False


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("name", "required"),
        ("task", "detect | classify | sequence"),
        ("train.lr", "default: 0.001"),
        ("train.amp", "true | false"),
        ("input.imgsz", "int | tuple of int"),
    ],
)
def test_the_help_gives_type_and_default(key, text):
    assert text in dict(keys())[key]


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("models/*/recipe.yaml")), ids=lambda p: p.parent.name
)
def test_built_in_recipes_are_valid(path):
    assert load_recipe(path).name == path.parent.name
