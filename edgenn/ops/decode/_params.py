"""Reading a decoder's parameters out of a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from edgenn.errors import ModelError
from edgenn.plugins import suggestion

T = TypeVar("T")


def parse(kind: type[T], params: Mapping[str, Any]) -> T:
    """Make the dataclass ``kind`` of ``params``, lists becoming tuples.

    Raises:
        ModelError: A parameter that the layout does not have, or one missing.
    """
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]  # T is a dataclass
    for key in params:
        if key not in known:
            raise ModelError(f"decode has no parameter {key!r}{suggestion(key, known)}")
    try:
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in params.items()})
    except TypeError as error:
        raise ModelError(f"decode parameters do not fit: {error}") from error
