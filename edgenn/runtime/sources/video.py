"""A video file, or a stream by its URL, through OpenCV.

All frames that decode are delivered. After the last one `SourceError` is
raised where the file lacks bytes that its container promises, or more than a
tenth of the frames that it declares; fewer are counted as dropped, with a
warning. A stream that declares no length never ends by itself, so any end of
it is a failure.

A stream by URL is decoded by one thread, for the least delay: an MPEG-4 stream at 25
frames a second over HTTP came 91 ms late so, 136 ms with two threads, 219 ms with four.
PyAV is no faster here. RTSP, H.264 at 25 frames a second, medians of 3 rounds taking turns,
OpenCV against PyAV and PyAV with FFmpeg's options against delay: first frame after 1.18,
1.19 and 1.11 s; age of a frame 42 ms in all three; back after a restart of the server
within 1.18, 1.18 and 1.10 s; 0.38, 0.73 and 0.74 ms of processor time a frame
(tools/bench/network.py).

The certificate of an rtsps:// camera is not checked: they sign their own. Such a stream
cannot be read along, but who sits in between may pose as the camera.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import cv2
import numpy as np

from edgenn.errors import SourceError
from edgenn.ops.video_path import video_path
from edgenn.runtime.sources import Kind, Options, Source, _container, _query
from edgenn.runtime.sources._answers import why_not
from edgenn.runtime.sources._pool import Pool
from edgenn.types import Frame, Image

KIND: Kind = "image"
EXAMPLE = "--source street.mp4, --source rtsp://user:password@host:554/stream"

_log = logging.getLogger(__name__)
_TIMEOUT_MS = 10_000


class Video(Source):
    """An open video; `Frame.time` is media time in seconds, of a stream the monotonic clock."""

    def __init__(self, name: str) -> None:
        is_url = "://" in name
        # Frames and messages carry the name; a password in a URL must not travel with them.
        self.name = _query.without_secrets(name) if is_url else name
        self.dropped = 0
        self._pool = Pool()
        self._missing = 0 if is_url else _missing_bytes(Path(name))
        self._capture = _open_url(name) if is_url else cv2.VideoCapture(video_path(name))
        if not self._capture.isOpened():
            if is_url:
                why = why_not(name) or f"nothing usable answered within {_TIMEOUT_MS // 1000} s"
            elif self._missing:
                why = f"it is cut short, at least {self._missing} bytes are missing"
            else:
                why = "it is none, or has a codec that this OpenCV does not know"
            raise SourceError(f"{self.name} cannot be opened as a video: {why}")
        self.fps = max(0.0, self._capture.get(cv2.CAP_PROP_FPS))
        # Live streams give nonsense here, negative more often than not.
        self._declared = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        self.live = is_url and not self._declared

    def __iter__(self) -> Iterator[Frame]:
        """All frames that decode."""
        index = 0
        buffer: Image | None = None
        try:
            while True:
                ok = self._capture.grab()
                now = monotonic()
                if not ok:
                    break
                # A buffer of another size than the frame's is left alone, and a new one comes.
                ok, image = self._capture.retrieve(buffer)
                if not ok or image is None:
                    break
                time = now if self.live else self._time(index)
                yield Frame(np.asarray(image, np.uint8), time, index, self.name)
                shape = image.shape
                del image  # so that its buffer may be free
                buffer = self._pool.take(shape)
                index += 1
            self._judge(index)
        finally:
            self.close()

    def close(self) -> None:
        """Release the file or connection."""
        self._capture.release()

    def _time(self, index: int) -> float:
        seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        # Some backends have no clock and say 0 for every frame.
        return seconds if seconds > 0 or not self.fps else index / self.fps

    def _judge(self, delivered: int) -> None:
        if self.live:
            raise SourceError(f"the stream {self.name} broke off after {delivered} frames")
        if not delivered:
            raise SourceError(f"{self.name} holds no frame that can be decoded")
        short = self._declared - delivered
        # Some containers know only their duration, which rounds to a frame more.
        self.dropped = short if short > 1 else 0
        if self._missing:
            raise SourceError(
                f"{self.name} is cut short: at least {self._missing} bytes are missing "
                f"after frame {delivered} of {self._declared}"
            )
        if self.dropped > self._declared / 10:
            raise SourceError(
                f"{self.name} is damaged: only {delivered} of {self._declared} frames can be read"
            )
        if self.dropped:
            _log.warning("%s: %d of %d frames read", self.name, delivered, self._declared)


def open_source(name: str, options: Options) -> Video:
    """Open a video file or URL; heeds no option.

    Raises:
        SourceError: Missing, not a video, or nothing answers.
    """
    del options
    return Video(name)


def _missing_bytes(path: Path) -> int:
    if not path.is_file():
        if path.exists():
            raise SourceError(f"{path} is no file; a video is read from a file or a URL")
        raise SourceError(f"there is no video or other source at {path}")
    if not path.stat().st_size:
        raise SourceError(f"{path} is empty")
    try:
        return _container.missing_bytes(path)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}") from error


def _open_url(url: str) -> cv2.VideoCapture:
    if cv2.CAP_FFMPEG not in cv2.videoio_registry.getStreamBackends():
        return cv2.VideoCapture(url)
    limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
    wishes = [value for limit in limits for value in (limit, _TIMEOUT_MS)]
    # A decoder with n threads holds n - 1 frames back. FFmpeg's own options can only be given
    # in OPENCV_FFMPEG_CAPTURE_OPTIONS, which is left to the user: it holds for the process.
    wishes += [cv2.CAP_PROP_N_THREADS, 1]
    return cv2.VideoCapture(url, cv2.CAP_FFMPEG, wishes)
