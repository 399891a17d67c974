"""Video with the results drawn in, at a constant frame rate.

Frames are repeated or left out so that the video keeps the time of its
source, also where the camera was faster than the model.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from edgenn.errors import SinkError
from edgenn.ops.preprocess import Letterbox, place
from edgenn.ops.video_path import video_path
from edgenn.runtime.draw import draw
from edgenn.runtime.sinks import Sink
from edgenn.types import Frame, Image, Result

# Encoders that every build of OpenCV has; H.264 is in few.
_CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
_DEFAULT_FPS = 25.0
_LONGEST_STILL = 10.0


class VideoSink(Sink):
    """Writes under a temporary name, and takes the real one when closed."""

    def __init__(self, path: Path, fps: float) -> None:
        if path.suffix.lower() not in _CODECS:
            raise SinkError(f"cannot write {path}: name it {', '.join(_CODECS)}")
        if not path.parent.is_dir():
            raise SinkError(f"cannot write {path}: there is no folder {path.parent}")
        self._path = path
        self._part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
        self._fps = fps or _DEFAULT_FPS
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)
        self._start = 0.0
        self._written = 0

    def write(self, result: Result) -> None:
        """Draw and append one frame."""
        if not isinstance(result.item, Frame):
            raise SinkError(f"cannot write {self._path}: sensor readings have no pictures")
        image = draw(result.item.image, result.prediction, result.marks)
        if self._writer is None:
            self._open(image, result.item.time)
        assert self._writer is not None
        if image.shape[1::-1] != self._size:
            # A container holds one size; pictures of a folder may have many.
            image = place(image, Letterbox(self._size[::-1], pad=0))
        due = round((result.item.time - self._start) * self._fps) + 1 - self._written
        most = int(self._fps * _LONGEST_STILL) + 1
        if due > most:  # the rest of such a pause is cut out of the video's time
            self._start += (due - most) / self._fps
            due = most
        for _ in range(due):
            self._writer.write(image)
            self._written += 1

    def close(self) -> None:
        """Finish the file and give it its name."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        try:
            self._check()
            self._part.replace(self._path)
        except OSError as error:
            raise SinkError(f"cannot write {self._path}: {error.strerror}") from error
        finally:
            self._part.unlink(missing_ok=True)

    def _check(self) -> None:
        # OpenCV's writer keeps a full disk to itself, so the file is asked what is in it.
        written = cv2.VideoCapture(video_path(self._part))
        frames = int(written.get(cv2.CAP_PROP_FRAME_COUNT))
        written.release()
        if frames < self._written - 1:
            raise SinkError(
                f"cannot write {self._path}: only {max(0, frames)} of {self._written} frames "
                "reached the disk; is it full?"
            )

    def _open(self, image: Image, time: float) -> None:
        self._size = (image.shape[1], image.shape[0])
        self._start = time
        code = cv2.VideoWriter.fourcc(*_CODECS[self._path.suffix.lower()])
        writer = cv2.VideoWriter(video_path(self._part), code, self._fps, self._size)
        if not writer.isOpened():
            self._part.unlink(missing_ok=True)
            size = "x".join(map(str, self._size))
            raise SinkError(
                f"cannot write {self._path}: OpenCV makes no {self._path.suffix} of {size} pixels"
                + ("" if self._path.suffix.lower() == ".avi" else "; .avi takes more sizes")
            )
        self._writer = writer


def open_sink(target: str, fps: float = 0.0) -> VideoSink:
    """Prepare a video of ``fps`` frames per second (25 if 0); the first frame decides its size.

    Raises:
        SinkError: The folder or the kind of file will not do.
        UsageError: The name will not do for OpenCV.
    """
    video_path(target)
    return VideoSink(Path(target), fps)
