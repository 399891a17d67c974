"""What all sources of text have in common: read, split into readings, watch the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic

from edgenn.errors import SourceError
from edgenn.runtime.sources import Options, Source
from edgenn.runtime.sources._lines import Lines
from edgenn.types import Samples

POLL_S = 0.2
SILENCE_S = 10.0


class TextSource(Source):
    """A live source of lines; 10 s without a byte are a failure.

    A subclass opens something, sets ``name`` and ``lines`` and has `_take` and `_release`.
    """

    live = True

    def __init__(self, name: str, options: Options, lines: Lines) -> None:
        self.name, self.fps = name, options.rate
        self.dropped = 0
        self._lines = lines
        self._closed = False
        # A read holds it, so that nothing is closed under it.
        self._in_use = threading.Lock()

    def _take(self) -> bytes | None:
        """Wait at most `POLL_S` for bytes; b"" where none came, None at the end.

        Raises:
            OSError: The device broke.
            SourceError: The same, in a sentence of its own.
        """
        raise NotImplementedError

    def _release(self) -> None:
        """Close what is open; called once."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[Samples]:
        """Readings as they arrive, with times of the monotonic clock."""
        heard = monotonic()
        try:
            while not self._closed:
                data = self._guarded()
                now = monotonic()
                if data is None:
                    if not self._closed and (samples := self._lines.end(now)) is not None:
                        yield samples
                    return
                if data:
                    heard = now
                elif now - heard > SILENCE_S:
                    raise SourceError(f"{self.name} delivered nothing for {SILENCE_S:.0f} s")
                samples = self._lines.push(data, now)
                self.dropped = self._lines.dropped
                if samples is not None:
                    yield samples
        finally:
            self.close()

    def close(self) -> None:
        """Release the device; from any thread, and again."""
        self._closed = True
        with self._in_use:
            release, self._release = self._release, _nothing  # type: ignore[method-assign]
            release()

    def _guarded(self) -> bytes | None:
        with self._in_use:
            if self._closed:
                return None
            try:
                return self._take()
            except OSError as error:
                why = error.strerror or error
                raise SourceError(f"{self.name} broke off: {why}") from error


def _nothing() -> None:
    """It is closed already."""
