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
from pydantic import BaseModel, ValidationError

from edgenn.errors import RecipeError
from edgenn.recipe.schema import Recipe


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
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
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
        faults = [_describe(dict(fault)) for fault in error.errors()]
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
        inner = target.setdefault(name, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {key}: {name} has no keys below it")
        target = inner
    target[last] = value


def _describe(fault: dict[str, Any]) -> str:
    # pydantic adds the branch of a union to the path; a user knows only keys and positions.
    loc = [part for part in fault["loc"] if not _is_branch(part)]
    path = ".".join(map(str, loc)) or "recipe"
    if fault["type"] == "extra_forbidden":
        known = _known_keys([str(part) for part in loc[:-1]])
        near = difflib.get_close_matches(str(loc[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if fault["type"] == "missing":
        return f"{path}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if loc and not isinstance(fault["input"], dict):
        return f"{path}: {message[0].lower()}{message[1:]}, not {fault['input']!r}"
    return f"{path}: {message}"


def _is_branch(part: object) -> bool:
    return isinstance(part, str) and (
        "[" in part or part in ("int", "float", "str", "constrained-float", "list", "tuple")
    )


def _known_keys(sections: Sequence[str]) -> list[str]:
    model: type[BaseModel] = Recipe
    for name in sections:
        kind = model.model_fields[name].annotation
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            return []
        model = kind
    return list(model.model_fields)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
