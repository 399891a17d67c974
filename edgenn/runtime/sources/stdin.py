"""Standard input: lines from another program, as ``program | edgenn run watch --sensor -``.

The lines are described in `edgenn.runtime.sources._lines`. Heeds ``channels`` and
``rate``. The end of the input is the end, and nothing is lost: the program waits where it
writes faster than is read. Where it sends a recording faster or slower than it was made,
the steps between its times are kept all the same.
"""

from __future__ import annotations

import os
import select
import sys

from edgenn.errors import SourceError
from edgenn.runtime.sources import Kind, Options
from edgenn.runtime.sources._lines import Lines
from edgenn.runtime.sources._text import POLL_S, TextSource

KIND: Kind = "window"
EXAMPLE = "--sensor -"

# Reads of a pipe give no more, and a queue of readings stays in small pieces.
_CHUNK = 4096


class Stdin(TextSource):
    """Standard input, which stays open when the source is closed."""

    waits = True

    def __init__(self, options: Options) -> None:
        try:
            self._number = sys.stdin.fileno()
        except (AttributeError, OSError, ValueError) as error:
            raise SourceError("there is no standard input here") from error
        found = os.fstat(self._number)
        lines = Lines("stdin", options, replays=True, key=f"stdin {found.st_dev} {found.st_ino}")
        super().__init__("stdin", options, lines)

    def _take(self) -> bytes | None:
        ready, _, _ = select.select([self._number], [], [], POLL_S)
        return (os.read(self._number, _CHUNK) or None) if ready else b""

    def _release(self) -> None:
        """It belongs to the process."""


def open_source(name: str, options: Options) -> Stdin:
    """Begin to read.

    Raises:
        SourceError: The name is not "-", or there is no standard input.
    """
    if name not in ("-", "stdin"):
        raise SourceError(f"there is no input {name}; write - for standard input")
    return Stdin(options)
