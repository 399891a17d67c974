"""Settings that follow a source's name: ``0?format=YUYV&exposure=200``."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from edgenn.errors import SourceError

# Many cameras take them in the query, some in the path.
_HIDDEN = (
    r"(?i)((?<![a-z])(?:password|passwd|pass|pwd|psw|token|key|auth|user-pw|proxy-pw))"
    r"=(\"[^\"]*\"|[^&/?#\s]*)"
)


def split(text: str, known: Collection[str], what: str) -> tuple[str, dict[str, str]]:
    """The name before the question mark, and the settings behind it.

    Raises:
        SourceError: There is no such setting; the message lists those that there are.
    """
    name, _, query = text.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(given.keys() - set(known))
    if unknown:
        there = ", ".join(known)
        raise SourceError(f"there is no setting {unknown[0]!r} of {what}; there is {there}")
    return name, given


def number(key: str, text: str) -> float:
    """The value of a setting that is a number.

    Raises:
        SourceError: It is not a whole or decimal number.
    """
    if not re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
        raise SourceError(f"the camera's {key} {text!r} is not a number")
    return float(text)


def without_secrets(text: str) -> str:
    """A URL, or a text with URLs in it, as it may be shown: without user name and password."""
    # As FFmpeg splits it: up to the last @ before the path, so a password may hold one.
    text = re.sub(r"://[^/?#\s]*@", "://", text)
    # One with /, ?, # or a blank in it opens nothing, and must not be seen in the message.
    text = re.sub(r"://[^/?#\s@\[]*:(?!\d*(?:[/?#\s]|$))[^@]*@", "://", text)
    return re.sub(_HIDDEN, r"\1=***", text)
