"""What is concluded from several predictions in a row, one file per stage.

A file is a plug-in with one name::

    build(params: Mapping[str, object], labels: tuple[str, ...]) -> Stage

Its parameters lie in the manifest under the file's name. A stage has two
methods and owns all its memory: predictions go in one by one, and come out
refined, with the events that they complete. No clock but that of the items is
read, so a replay decides as the live run did.
"""

from __future__ import annotations

from typing import Protocol

from edgenn.types import Event, Frame, Mark, Prediction, Window


class Stage(Protocol):
    """Follows one stream.

    Attributes:
        event_labels: What a stage after a detector calls its events, as far as it is known.
    """

    event_labels: tuple[str, ...] = ()

    def update(
        self, item: Frame | Window, prediction: Prediction
    ) -> tuple[Prediction, tuple[Event, ...]]:
        """Take the newest prediction.

        Returns:
            The prediction to go on with, and events that ended at this point.

        Raises:
            ModelError: The stage cannot use this kind of prediction.
        """
        ...

    def marks(self, frame: Frame) -> tuple[Mark, ...]:
        """What it watches in this frame, to be drawn."""
        del frame
        return ()

    def reset(self) -> tuple[Event, ...]:
        """Forget everything, as at a gap or the end; returns the event that this cuts off."""
        ...
