"""The conversation with the machine that deploys: a JSON object a line, in both directions.

A thread listens all the time, so that a lost connection is noticed while something long runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The other side sends an empty line every few seconds; a cable that is pulled says nothing.
SILENCE_S = 60.0
_POLL_S = 0.1


class RefusedError(Exception):
    """A step that cannot be done; the message is one sentence for the user."""


class GoneError(Exception):
    """The other side was interrupted, or the connection is lost."""


class Line:
    """One conversation.

    Attributes:
        gone: Set once the other side is no longer there.
    """

    def __init__(self, source: int = 0) -> None:
        self.gone = threading.Event()
        self._source = source
        self._requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def next(self) -> dict[str, Any] | None:
        """The next request; None when the other side is gone."""
        return self._requests.get()

    def say(self, **values: object) -> None:
        """Send one object."""
        try:
            sys.stdout.write(json.dumps(values) + "\n")
            sys.stdout.flush()
        except OSError:
            self.gone.set()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        heed: bool = True,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end.

        Args:
            command: Program and arguments.
            env: Variables beside those of this process.
            heed: End it when the other side is gone; False for what puts things back.

        Raises:
            GoneError: The other side went away; the command was ended.
        """
        process = subprocess.Popen(  # noqa: S603  no shell
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        while True:
            try:
                out, err = process.communicate(timeout=_POLL_S)
            except subprocess.TimeoutExpired:
                if heed and self.gone.is_set():
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.communicate()
                    raise GoneError from None
                continue
            return subprocess.CompletedProcess(list(command), process.returncode, out, err)

    def pause(self, seconds: float, *, heed: bool = True) -> None:
        """Wait.

        Raises:
            GoneError: The other side went away.
        """
        if not heed:
            threading.Event().wait(seconds)
        elif self.gone.wait(seconds):
            raise GoneError

    def _listen(self) -> None:
        rest = b""
        while True:
            ready, _, _ = select.select([self._source], [], [], SILENCE_S)
            data = os.read(self._source, 65536) if ready else b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self._requests.put(json.loads(line))
        self.gone.set()
        self._requests.put(None)


def last_line(text: str) -> str:
    """What a program said last, for an error message."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"
