from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from edgenn.errors import RecipeError
from edgenn.recipe.load import check, dump_recipe, expand, load_recipe, recipe_hash

MINIMAL: dict[str, Any] = {
    "name": "fruit",
    "task": "detect",
    "data": {"format": "voc", "path": "${DATA}/fruit"},
    "net": {"family": "anchorfree"},
}


def _write(tmp_path: Path, content: dict[str, Any] | str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def _faults(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        check(raw, "r.yaml")
    head, *lines = str(caught.value).splitlines()
    assert head == f"r.yaml has {len(lines)} fault{'s' if len(lines) > 1 else ''}:"
    return [line.strip() for line in lines]


def test_every_fault_is_reported_at_once_with_its_path_and_the_nearest_name():
    faults = _faults(
        {
            "name": "fruit",
            "task": "detekt",
            "data": {"format": "voc", "split": {"vall": 0.2}},
            "nett": {},
            "net": {"family": "anchorfree"},
            "train": {"epoch": 3, "lr": "fast", "zzz": 1},
            "export": {"golden": {"count": 0}},
        }
    )
    expected = [
        "task: should be 'detect', 'classify' or 'sequence', not 'detekt'",
        "data.path: missing",
        "data.split.vall: unknown key; did you mean 'val'?",
        "nett: unknown key; did you mean 'net'?",
        "train.epoch: unknown key; did you mean 'epochs'?",
        "train.lr: should be a valid number, unable to parse string as a number, not 'fast'",
        "export.golden.count: should be greater than 0, not 0",
    ]
    assert [f for f in faults if "zzz" not in f] == sorted(expected, key=faults.index)
    (unlike,) = (f for f in faults if "zzz" in f)
    assert unlike.startswith("train.zzz: unknown key; known keys: epochs, batch, lr")


@pytest.mark.parametrize(
    ("section", "value", "fault"),
    [
        ("data", [1], "data: should be a section with keys of its own, not [1]"),
        ("train", None, "train: should be a section with keys of its own, not None"),
        ("input", {"std": [1, 0, 1]}, "input.std.1: should be greater than 0, not 0"),
        ("input", {"mean": [1, 2]}, "input.mean.2: missing"),
        ("input", {"imgsz": 100}, "recipe: input.imgsz of a detector must be a multiple of 32"),
        ("name", "../x", "name: string should match pattern"),
    ],
)
def test_a_wrong_value_is_one_fault(section, value, fault):
    (said,) = _faults({**MINIMAL, section: value})
    assert said.startswith(fault)


@pytest.mark.parametrize("imgsz", ["big", -32, [320], [320, 0], 10**9])
def test_a_value_of_several_types_is_named_by_the_key_that_the_user_wrote(imgsz):
    faults = _faults({**MINIMAL, "input": {"imgsz": imgsz}})
    assert all(re.match(r"input\.imgsz(\.\d)?: ", fault) for fault in faults)


@pytest.mark.parametrize(
    ("task", "format", "reads"),
    [
        ("detect", "csv", "yolo or coco or voc"),
        ("sequence", "voc", "csv or npz or mat or points or clips"),
    ],
)
def test_a_format_that_does_not_fit_the_task_is_a_fault(task, format, reads):
    data = {"format": format, "path": "x"}
    assert _faults({**MINIMAL, "task": task, "data": data}) == [
        f"recipe: task {task} reads data.format {reads}, not {format}"
    ]


def test_what_is_no_recipe_is_said_in_a_sentence(tmp_path):
    with pytest.raises(RecipeError, match="there is no recipe at"):
        load_recipe(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match=r"is not valid YAML: .*line 1"):
        load_recipe(_write(tmp_path, "a: [1"))
    with pytest.raises(RecipeError, match="must be a mapping of keys to values"):
        load_recipe(_write(tmp_path, "- a\n- b\n"))
    (tmp_path / "recipe.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecipeError, match="is not valid YAML"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_key_that_stands_twice_is_a_fault(tmp_path):
    text = yaml.safe_dump(MINIMAL) + "train:\n  lr: 0.1\n  epochs: 5\n  lr: 0.2\n"
    with pytest.raises(RecipeError, match=r"the key 'lr' stands twice.*line 11"):
        load_recipe(_write(tmp_path, text))


def test_a_recipe_makes_no_objects(tmp_path):
    with pytest.raises(RecipeError, match="could not determine a constructor"):
        load_recipe(_write(tmp_path, "name: !!python/object/apply:os.getcwd []\n"))


def test_settings_replace_values_and_are_read_as_yaml(tmp_path):
    path = _write(tmp_path, yaml.safe_dump(MINIMAL) + "train:\n")
    settings = ["train.lr=2e-3", "input.imgsz=[320, 416]", "net.options.depth=3", "data.label=a=b"]
    recipe = load_recipe(path, settings)
    assert recipe.train.lr == 0.002
    assert recipe.input.size == (320, 416)
    assert recipe.net.options == {"depth": 3}
    assert recipe.data.label == "a=b"


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.lr", "--set takes key=value, for example train.lr=0.002, not 'train.lr'"),
        ("=3", "--set takes key=value"),
        ("name.x=3", "--set name.x: name has no keys below it"),
        ("train.lr=[1", "--set train.lr: '[1' is not a YAML value"),
        ("train.lrr=1", "train.lrr: unknown key; did you mean 'lr'?"),
    ],
)
def test_a_wrong_setting_is_said_in_a_sentence(tmp_path, setting, sentence):
    with pytest.raises(RecipeError, match=re.escape(sentence)):
        load_recipe(_write(tmp_path, MINIMAL), [setting])


def test_a_dumped_recipe_reads_as_itself(tmp_path):
    recipe = check(
        {
            **MINIMAL,
            "input": {"imgsz": [320, 416]},
            "data": {**MINIMAL["data"], "split": {"val": ["Übung", "b"]}, "rate": 50},
            "net": {"family": "anchorfree", "options": {"widths": [8, 16]}},
            "decode": {"conf": 0.3},
        },
        "here",
    )
    again = load_recipe(_write(tmp_path, dump_recipe(recipe)))
    assert again == recipe
    assert recipe_hash(again) == recipe_hash(recipe)


def test_the_hash_tells_recipes_apart():
    assert recipe_hash(check(MINIMAL, "")) == recipe_hash(check(dict(MINIMAL), ""))
    assert recipe_hash(check({**MINIMAL, "seed": 1}, "")) != recipe_hash(check(MINIMAL, ""))


def test_paths_take_variables_from_the_environment(monkeypatch):
    monkeypatch.setenv("DATA", "/somewhere")
    monkeypatch.setenv("HOME", "/home/user")
    assert expand("${DATA}/a/${DATA}", "data.path") == Path("/somewhere/a/somewhere")
    assert expand("~/x", "data.path") == Path("/home/user/x")
    assert expand("plain/$x", "data.path") == Path("plain/$x")
    monkeypatch.delenv("DATA")
    with pytest.raises(RecipeError, match=r"data\.path needs the environment variable DATA"):
        expand("${DATA}", "data.path")


def test_the_background_must_be_a_class():
    data = {"format": "csv", "path": "x", "labels": ["wave"], "background": "rest"}
    (fault,) = _faults({**MINIMAL, "task": "sequence", "data": data})
    assert "data.labels must hold the background class 'rest'" in fault
    data["labels"].append("rest")
    recipe = check({**MINIMAL, "task": "sequence", "data": data}, "r.yaml")
    assert recipe.data.background == "rest"
