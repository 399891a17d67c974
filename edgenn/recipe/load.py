"""Reading recipes: every fault at once, each with its path and the nearest valid name."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from edgenn.errors import RecipeError
from edgenn.recipe.schema import Recipe, Section, subsection


class _UniqueKeys(yaml.SafeLoader):
    """YAML where a key that stands twice is a fault; plain YAML lets the last one win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, its keys checked."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"the key {key.value!r} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file.

    Args:
        path: The file.
        overrides: ``key.sub=value`` settings that replace the file's; the
            value is read as YAML.

    Raises:
        RecipeError: Missing, not YAML, or with wrong keys or values (all named).
    """
    if not path.is_file():
        raise RecipeError(f"there is no recipe at {path}")
    try:
        # S506: a SafeLoader makes no objects.
        raw = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not valid YAML: {_one_line(error)}") from error
    except OSError as error:
        raise RecipeError(f"cannot read {path}: {error.strerror}") from error
    if not isinstance(raw, dict):
        raise RecipeError(f"{path} is not a recipe: it must be a mapping of keys to values")
    for setting in overrides:
        _apply(raw, setting)
    return check(raw, str(path))


def check(raw: Mapping[str, Any], where: str) -> Recipe:
    """Validate the content of a recipe.

    Raises:
        RecipeError: One line per fault.
    """
    try:
        return Recipe.model_validate(raw)
    except ValidationError as error:
        faults = _describe_all(error)
        raise RecipeError(
            f"{where} has {len(faults)} fault{'s' * (len(faults) != 1)}:\n  " + "\n  ".join(faults)
        ) from error


def dump_recipe(recipe: Recipe) -> str:
    """The recipe with every default written out, as YAML that `load_recipe` reads."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of the resolved recipe, hex."""
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json")).encode()).hexdigest()


def expand(path: str, key: str) -> Path:
    """Replace ``${NAME}`` by the environment and ``~`` by the home folder.

    Args:
        path: As the recipe has it.
        key: Key of the recipe, for the error.

    Raises:
        RecipeError: A variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise RecipeError(f"{key} needs the environment variable {name}, which is not set")
        return os.environ[name]

    return Path(re.sub(r"\$\{(\w+)\}", value, path)).expanduser()


def _apply(raw: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set takes key=value, for example train.lr=0.002, not {setting!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {key}: {text!r} is not a YAML value") from error
    *sections, last = key.split(".")
    target = raw
    for name in sections:
        inner = target[name] = {} if target.get(name) is None else target[name]
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {key}: {name} has no keys below it")
        target = inner
    target[last] = value


def _describe_all(error: ValidationError) -> list[str]:
    """One line per wrong key, however many types its value might have had."""
    values: dict[str, Any] = {}
    messages: dict[str, list[str]] = {}
    for fault in error.errors():
        # pydantic adds the branch of a union to the path; a user knows only keys and positions.
        loc = [part for part in fault["loc"] if not _is_branch(part)]
        path = ".".join(map(str, loc)) or "recipe"
        messages.setdefault(path, []).append(_message(fault["type"], fault["msg"], loc))
        if loc and fault["type"] not in ("extra_forbidden", "missing"):
            values[path] = fault["input"]
    return [
        f"{path}: {' or '.join(said)}" + (f", not {values[path]!r}" if path in values else "")
        for path, said in messages.items()
    ]


def _message(kind: str, message: str, loc: Sequence[str | int]) -> str:
    if kind == "missing":
        return "missing"
    if kind == "model_type":
        return "should be a section with keys of its own"
    if kind == "extra_forbidden":
        known = _known_keys([str(part) for part in loc[:-1]])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"unknown key; {hint}"
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    return message[0].lower() + message[1:]


def _is_branch(part: object) -> bool:
    return isinstance(part, str) and (
        "[" in part
        or part.startswith("constrained-")
        or part in ("int", "float", "str", "list", "tuple")
    )


def _known_keys(sections: Sequence[str]) -> list[str]:
    section: type[Section] = Recipe
    for name in sections:
        inner = subsection(section.model_fields[name])
        assert inner is not None  # only sections refuse unknown keys
        section = inner
    return list(section.model_fields)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
