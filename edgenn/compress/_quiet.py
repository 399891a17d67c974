"""Silence for converters that write to the terminal by themselves."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep everything off standard output and error, also what C++ code writes; -v shows it.

    Works on the file descriptors of the process, so nothing else should be
    written meanwhile.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(number) for number in (1, 2)]
    with tempfile.TemporaryFile() as sink, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations between the converters' own parts
        try:
            for number in (1, 2):
                os.dup2(sink.fileno(), number)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, old in zip((1, 2), kept, strict=True):
                os.dup2(old, number)
                os.close(old)
            sink.seek(0)
            _log.debug("%s", sink.read().decode(errors="replace"))
