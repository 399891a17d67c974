"""Where results go, one file per kind of sink.

A file is a plug-in with one name::

    open_sink(target: str, fps: float) -> Sink

``target`` is a path, "-" or a title, as the sink has it; ``fps`` is the
source's rate, 0 where nobody knows. A sink has two methods, because all that
the pipeline must be able to say is "here is one" and "that was all". The pipeline
gives it a thread of its own, in which it may take its time; a sink with a true class
attribute ``inline``, because it never waits or belongs to the main thread, is called
in the loop. Of such a one an attribute ``counts`` (`SinkCounts`) is taken into the run's
`Health`; and one that has a method ``attach(health)`` is given that before the first result.
"""

from __future__ import annotations

from typing import Protocol

from edgenn.types import Result


class Finished(Exception):  # noqa: N818  no error: it says that nobody wants more
    """Raised by `Sink.write` when its reader is gone: the pipeline then ends as at the end."""


class Sink(Protocol):
    """An open output."""

    def write(self, result: Result) -> None:
        """Take one result; its frame may be kept but not changed.

        Raises:
            SinkError: It cannot be written.
            Finished: The reader went away or the user closed the window.
        """
        ...

    def close(self) -> None:
        """Finish what is written; may be called again.

        Raises:
            SinkError: It cannot be finished.
        """
        ...
