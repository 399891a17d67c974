"""A window on the desktop with the results drawn in; q, Esc or its close button end the run."""

from __future__ import annotations

import os
import sys

import cv2

from edgenn.errors import SinkError
from edgenn.runtime.draw import draw
from edgenn.runtime.sinks import Finished, Sink
from edgenn.types import Frame, Result

_QUIT = (ord("q"), 27)


class WindowSink(Sink):
    """Shows frames as fast as they come."""

    def __init__(self, title: str) -> None:
        self._title = title
        # Qt ends the whole process where there is no display, so this is asked before.
        if sys.platform.startswith("linux") and not _has_display():
            raise SinkError(
                "cannot show a window: there is no desktop here (neither DISPLAY nor "
                "WAYLAND_DISPLAY is set)"
            )
        try:
            cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
        except cv2.error as error:
            raise SinkError(
                "cannot show a window: this OpenCV was built without one; pip install 'edgenn[gui]'"
            ) from error
        self._sized = False
        self._open = True

    def write(self, result: Result) -> None:
        """Show one frame."""
        if not isinstance(result.item, Frame):
            raise SinkError("cannot show a window: sensor readings have no pictures")
        image = draw(result.item.image, result.prediction)
        if not self._sized:
            cv2.resizeWindow(self._title, image.shape[1], image.shape[0])
            self._sized = True
        cv2.imshow(self._title, image)
        key = cv2.waitKey(1) & 0xFF
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
