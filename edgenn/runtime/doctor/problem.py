"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is or will be in the way.

    Attributes:
        severity: "error" keeps edgenn from working, "warning" may, or keeps a part of it from
            it, "note" is worth knowing.
        message: One sentence.
        fix: The command that mends it, or what to do where no command does.
        id: Name of the check, with hyphens.
    """

    severity: Severity
    message: str
    fix: str
    id: str = ""
