"""Updates as fast as it can, in a child of its own for each line of input, to be killed.

Prints the child's process id, and how it ended. Only the proof by golden samples is left out, which
writes nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from edgenn.bundle.trust import Policy, read_public
from edgenn.errors import SourceError
from edgenn.runtime.update import updater as module
from edgenn.runtime.update.loader import Loader
from edgenn.runtime.update.slots import Slots
from edgenn.runtime.update.updater import Updater


def work(folder: str, url: str, key: str) -> None:
    module.prove = lambda *_: None
    slots = Slots(Path(folder))
    updater = Updater(url, slots, Policy((read_public(Path(key)),)), "d", Loader())
    # The server goes on to the next release while one of them is on its way.
    started = False
    while not started:
        with contextlib.suppress(SourceError):
            started = bool(updater.start_with(None))
    while True:
        with contextlib.suppress(SourceError):
            release = updater._look()
            trial = slots.state.trial or (release and updater._obtain(release))
            if trial and slots.begin():
                slots.confirm()


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def main() -> None:
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                work(*sys.argv[1:])
            finally:
                os._exit(1)
        tell(pid)
        tell(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


if __name__ == "__main__":
    main()
