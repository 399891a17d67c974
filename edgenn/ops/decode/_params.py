"""Reading a decoder's parameters out of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from edgenn.errors import ModelError, faults
from edgenn.plugins import suggestion

T = TypeVar("T")


def parse(kind: type[T], params: Mapping[str, Any]) -> T:
    """Make the dataclass ``kind`` of ``params``, checked against its annotations.

    Raises:
        ModelError: A parameter that the layout does not have, or a wrong value.
    """
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]  # T is a dataclass
    for key in params:
        if key not in known:
            raise ModelError(f"decode has no parameter {key!r}{suggestion(key, known)}")
    try:
        return TypeAdapter(kind).validate_python(dict(params))
    except ValidationError as error:
        raise ModelError(f"decode parameters do not fit: {faults(error)}") from error


def of_pictures(size: tuple[int, int] | None, layout: str) -> tuple[int, int]:
    """The input size of a layout that is for pictures alone.

    Raises:
        ModelError: The model takes windows.
    """
    if size is None:
        raise ModelError(f"the {layout} layout decodes pictures, but the model takes windows")
    return size
