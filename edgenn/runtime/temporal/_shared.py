"""What the stages share: reading their parameters, and the time that an item covers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from edgenn.bundle.manifest import Strict
from edgenn.errors import ModelError
from edgenn.types import Frame, Window

T = TypeVar("T", bound=Strict)


def parse(kind: type[T], params: Mapping[str, Any], stage: str) -> T:
    """Read the parameters of a stage.

    Args:
        kind: Their class.
        params: As the manifest has them.
        stage: Its name, for the message.

    Raises:
        ModelError: One that the stage does not have, or out of range; all of them named.
    """
    try:
        return kind.model_validate(params)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or stage}: {e['msg']}" for e in error.errors()
        )
        raise ModelError(f"temporal.{stage} is not valid: {faults}") from error


def span(item: Frame | Window, last: float | None) -> tuple[float, float]:
    """Start and end, in seconds, of what is new in an item.

    Args:
        item: The newest.
        last: End of the one before it, if any: windows overlap.
    """
    if isinstance(item, Frame):
        return item.time, item.time
    return item.start if last is None else max(item.start, last), item.end
