"""Opening a stranger's model in a process of its own: native parsers may crash."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgenn.errors import EdgennError, ModelError
from edgenn.runtime.foreign._build import describe
from edgenn.runtime.foreign._wishes import Wishes

# The file itself, its weights unpacked and the engine's arena.
MAX_MEMORY = 8 << 30
SECONDS = 120


def try_apart(path: Path, wishes: Wishes) -> None:
    """Load and run the file in a child process.

    Raises:
        ModelError: The engine crashed on it, or took too long.
    """
    asked = json.dumps({"path": str(path), **asdict(wishes)}).encode()
    command = [sys.executable, "-m", "edgenn.runtime.foreign._trial"]
    try:
        code = subprocess.run(  # noqa: S603  no shell, and this very interpreter
            command, timeout=SECONDS, capture_output=True, input=asked, check=False
        ).returncode
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{path} does not load and run within {SECONDS} s") from error
    if code:
        raise ModelError(f"the engine crashes on {path} (exit code {code}): the file is damaged")


def _main() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    asked = json.loads(sys.stdin.buffer.read())
    path = Path(asked.pop("path"))
    said: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in asked.items()}
    # What is wrong in words is said by the parent, which comes to it again.
    with contextlib.suppress(EdgennError):
        describe(path, Wishes(**said))


if __name__ == "__main__":
    _main()
