"""A window on the desktop with the results drawn in; q, Esc or its close button end the run."""

from __future__ import annotations

import os
import sys
from time import monotonic

import cv2

from edgenn.errors import SinkError
from edgenn.runtime.draw import draw
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Frame, Result

_QUIT = (ord("q"), 27)
_LONGEST_MS = 1000
_STYLE = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
_LEAST_HEIGHT = 480


class WindowSink(Sink):
    """Shows frames as they come, but a recording no faster than it was taken."""

    inline = True

    def __init__(self, title: str) -> None:
        self._title = title
        # Qt ends the whole process where there is no display, so this is asked before.
        if sys.platform.startswith("linux") and not _has_display():
            raise SinkError(
                "cannot show a window: there is no desktop here (neither DISPLAY nor "
                "WAYLAND_DISPLAY is set)"
            )
        try:
            cv2.namedWindow(title, _STYLE)
        except cv2.error as error:
            raise SinkError(
                "cannot show a window: this OpenCV was built without one; pip install 'edgenn[gui]'"
            ) from error
        self._lead: float | None = None
        self._open = True

    def write(self, result: Result) -> None:
        """Show one frame."""
        if not isinstance(result.item, Frame):
            raise SinkError("cannot show a window: sensor readings have no pictures")
        image = draw(result.item.image, result.prediction, result.marks)
        if self._lead is None:
            zoom = max(1, _LEAST_HEIGHT // image.shape[0])
            cv2.resizeWindow(self._title, image.shape[1] * zoom, image.shape[0] * zoom)
            self._lead = result.item.time - monotonic()
        cv2.imshow(self._title, image)
        early = result.item.time - monotonic() - self._lead
        key = cv2.waitKey(max(1, min(_LONGEST_MS, round(early * 1000)))) & 0xFF
        if key in _QUIT or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            raise Finished

    def close(self) -> None:
        """Close the window, unless the user has."""
        if self._open and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1:
            cv2.destroyWindow(self._title)
        self._open = False


def open_sink(target: str = "edgenn", fps: float = 0.0) -> WindowSink:
    """Open a window with the title ``target``.

    Raises:
        SinkError: There is no desktop, or OpenCV cannot open windows.
    """
    del fps
    return WindowSink(target or "edgenn")


def _has_display() -> bool:
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
