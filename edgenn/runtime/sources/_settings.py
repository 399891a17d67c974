"""The settings behind a source's name: ``REST?key=value&key=value``."""

from __future__ import annotations

import math

from edgenn.errors import SourceError
from edgenn.runtime.sources import _query


class Settings:
    """Texts by key, each with a default.

    Args:
        name: What the plug-in was given to open.
        source: Name of the plug-in, for messages.
        defaults: Every key that there is.

    Attributes:
        rest: The name without its settings.

    Raises:
        SourceError: A key that does not exist; the message lists those that do.
    """

    def __init__(self, name: str, source: str, defaults: dict[str, str]) -> None:
        self.rest, given = _query.split(name, defaults, source)
        self._source = source
        self._texts = {**defaults, **given}

    def __getitem__(self, key: str) -> str:
        return self._texts[key]

    def number(self, key: str, low: float, high: float) -> float:
        """A number, also as 0x68.

        Raises:
            SourceError: It is none, or not from ``low`` to ``high``.
        """
        text = self[key]
        try:
            value = float(int(text, 16)) if text.lower().startswith("0x") else float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise SourceError(
                f"{key}={text} of {self._source} is not a number from {low:g} to {high:g}"
            )
        return value

    def choice(self, key: str, choices: list[str]) -> str:
        """One of some words.

        Raises:
            SourceError: It is none of them.
        """
        if self[key] not in choices:
            raise SourceError(
                f"{key}={self[key]} of {self._source} is not one of {', '.join(choices)}"
            )
        return self[key]

    def names(self, key: str) -> tuple[str, ...]:
        """Names with commas between them; empty where there are none."""
        return tuple(name.strip() for name in self[key].split(",") if name.strip())
