"""The recipe explained: for ``edgenn train --help`` and for editors. Needs no YAML."""

from __future__ import annotations

from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from edgenn.recipe.schema import Recipe, Section, subsection


def json_schema() -> dict[str, Any]:
    """JSON schema for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Recipe.model_json_schema(),
    }


def keys() -> list[tuple[str, str]]:
    """Every key with its type, default and meaning, in the order of the schema."""
    return _keys(Recipe, "")


def _keys(section: type[Section], prefix: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, field in section.model_fields.items():
        inner = subsection(field)
        if inner is not None:
            rows += _keys(inner, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, _meaning(field)))
    return rows


def _meaning(field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default: {_plain(field.default)}"
    text = f"{field.description}; " if field.description else ""
    return f"{text}{_kind(field.annotation)}  [{default}]"


def _kind(annotation: Any) -> str:  # noqa: ANN401 - any annotation there is
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " | ".join(_kind(kind) for kind in inner if kind is not type(None))
    if origin in (list, tuple, dict):
        return f"{origin.__name__} of {', '.join(dict.fromkeys(map(_kind, inner)))}"
    if hasattr(annotation, "__metadata__"):
        return _kind(inner[0])
    return {"str": "text", "bool": "true | false", "Any": "anything"}.get(
        getattr(annotation, "__name__", ""), getattr(annotation, "__name__", str(annotation))
    )


def _plain(value: Any) -> str:  # noqa: ANN401 - any default there is
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value)
