"""Frames of a GStreamer pipeline that runs as a process of its own.

OpenCV from PyPI knows no GStreamer, and a driver that hangs inside a pipeline cannot hang
a process that can be killed. ``gst-launch-1.0`` runs the pipeline and writes raw BGR
pictures into a pipe. Their size and rate are what it says of its last element
(``-v``); that goes through a second pipe, together with its errors.
"""

from __future__ import annotations

import logging
import os
import re
import select
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from time import monotonic

from edgenn.errors import SourceError
from edgenn.runtime.sources import Source, _query
from edgenn.runtime.sources._gst_packages import TOOLS, mend
from edgenn.runtime.sources._pool import Pool
from edgenn.types import Frame, Image

_log = logging.getLogger(__name__)
_TIMEOUT_S, _KILL_S = 10.0, 2.0
_SINK = "edgenn"
# Elements that deliver at their own pace: of such a one only the newest frame is wanted.
_LIVE = re.compile(
    r"is-live=(true|1)\b|\b(v4l2|libcamera|nvarguscamera|nvv4l2camera|rtsp|udp|ximage|pipewire)src\b"
)
NEWEST = "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
_PIPE_BYTES = 1 << 20  # one frame of 640x480 in one go; Linux gives 64 KiB unless asked


class Gst(Source):
    """A running pipeline.

    ``live`` where GStreamer says so. A live pipeline that ends has failed, another one is
    over. One that gives nothing for 10 s has failed, and one that changes its size in
    mid-stream too: opened again it delivers the new size.

    Args:
        name: What to show of it.
        pipeline: As gst-launch-1.0 takes it, without a sink.
        size: Width, height in pixels to scale the pictures to; None leaves them.
    """

    def __init__(self, name: str, pipeline: str, size: tuple[int, int] | None = None) -> None:
        self.name, self.dropped, self.fps = name, 0, 0.0
        self.live = bool(_LIVE.search(pipeline))
        self._pool = Pool()
        self._text, self._half, self._size = [""], b"", (0, 0)
        self._closed, self._reads = False, threading.Lock()
        self._data, self._process = _start(self._words(pipeline, size))
        assert self._process.stdout is not None
        self._said = self._process.stdout.fileno()
        os.set_blocking(self._said, False)
        os.set_blocking(self._data, False)
        try:
            self._wait(until_size=True)
        except SourceError:
            self.close()
            raise

    def _words(self, pipeline: str, size: tuple[int, int] | None) -> list[str]:
        try:
            words = shlex.split(pipeline)
        except ValueError as error:
            raise SourceError(f"{self.name} is no pipeline: {error}".lower()) from error
        caps = "video/x-raw,format=BGR"
        if size is not None:
            words += ["!", "videoscale"]
            caps += f",width={size[0]},height={size[1]},pixel-aspect-ratio=1/1"
        if self.live:
            words += shlex.split(f"! {NEWEST}")
        return [*words, "!", "videoconvert", "!", caps]

    def __iter__(self) -> Iterator[Frame]:
        """Frames by the monotonic clock where it is live, else by their rate."""
        index, size = 0, self._size
        try:
            while (image := self._frame()) is not None:
                if self._size != size:
                    was, now = ("{}x{}".format(*s) for s in (size, self._size))
                    raise SourceError(f"{self.name} changed its size from {was} to {now}")
                time = monotonic() if self.live else index / (self.fps or 1.0)
                yield Frame(image, time, index, self.name)
                image = None  # so that its buffer may be free
                index += 1
            if self._closed:
                return
            self._judge(index)
        finally:
            self.close()

    def close(self) -> None:
        """Kill the pipeline; another thread that waits for a frame then gets its end."""
        if self._closed:
            return
        self._closed = True
        self._process.kill()
        # A pipe must not be closed, and its number be given to another, while it is read.
        if self._reads.acquire(timeout=_KILL_S):
            assert self._process.stdout is not None
            self._process.stdout.close()
            os.close(self._data)
            self._reads.release()
        try:
            self._process.wait(_KILL_S)
        except subprocess.TimeoutExpired:
            _log.warning("%s hangs in a driver and cannot be killed", self.name)

    def _frame(self) -> Image | None:
        """The next picture; None at the end of the pipe."""
        with self._reads:
            return self._read()

    def _read(self) -> Image | None:
        width, height = self._size
        row = (3 * width + 3) // 4 * 4  # GStreamer pads rows to four bytes
        rows = self._pool.take((height, row))
        left = rows.data.cast("B")
        while left:
            if self._closed or not self._wait():
                return None
            try:
                count = os.readv(self._data, [left])
            except BlockingIOError:
                continue
            if not count:
                return None
            left = left[count:]
        return rows[:, : 3 * width].reshape(height, width, 3)

    def _wait(self, *, until_size: bool = False) -> bool:
        """Wait for data, or for the size; takes in what the process says meanwhile.

        Returns:
            False if the process has ended and left no data.
        """
        end = monotonic() + _TIMEOUT_S
        while True:
            if until_size and self._size[0]:
                return True
            poll = select.poll()
            poll.register(self._said, select.POLLIN)
            if not until_size:
                poll.register(self._data, select.POLLIN)
            ready = dict(poll.poll(max(0.0, end - monotonic()) * 1000))
            if not ready:
                raise SourceError(f"{self.name} delivered nothing for {_TIMEOUT_S:g} s")
            if self._said in ready and not self._listen():
                if not until_size:
                    return True
                self._judge(0)
            if self._data in ready:
                return True

    def _listen(self) -> bool:
        """Take in what the process says; False when it will say no more."""
        try:
            part = os.read(self._said, 1 << 16)
        except BlockingIOError:
            return True
        *lines, self._half = (self._half + part).split(b"\n")
        for line in lines:
            self._note(line.decode(errors="replace"))
        return bool(part)

    def _note(self, line: str) -> None:
        if "Pipeline is live" in line:
            self.live = True
        elif f":{_SINK}.GstPad:sink: caps" in line:
            self._size = int(_value(line, "width")), int(_value(line, "height"))
            over, _, under = _value(line, "framerate").partition("/")
            self.fps = float(over) / float(under or 1)
        else:
            self._text = [*self._text[-40:], line]

    def _judge(self, count: int) -> None:
        """Say why it ended, unless it is simply over."""
        try:
            self._process.wait(_KILL_S)
        except subprocess.TimeoutExpired as error:
            raise SourceError(f"{self.name} hangs at its end, after {count} frames") from error
        for _ in range(4):  # more than a pipe holds
            self._listen()
        text = _query.without_secrets("\n".join(self._text))
        # Below an error GStreamer tells the place in its source, then the cause.
        found = re.findall(
            r"(?:ERROR: from element \S*?:|erroneous pipeline:) (.+)"
            r"(?:\nAdditional debug info:\n.+\n(?!ERROR|Execution|Setting)(.+))?",
            text,
        )
        found = [f for f in found if "failed to post a proper error" not in f[0]]
        if found:
            why = ": ".join(part.rstrip(".") for part in found[-1] if part)
            raise SourceError(f"{self.name}: {why}{mend(text)}")
        if self.live or self._process.returncode:
            raise SourceError(f"{self.name} broke off after {count} frames")
        if not count:
            raise SourceError(f"{self.name} ended without a picture")


def _start(words: list[str]) -> tuple[int, subprocess.Popen[bytes]]:
    """The pipe with the pictures, and the process."""
    program = shutil.which("gst-launch-1.0")
    if program is None:
        raise SourceError(f"there is no gst-launch-1.0, which runs pipelines: {TOOLS}")
    data, end = os.pipe()
    if sys.platform.startswith("linux"):
        import fcntl

        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    try:
        process = subprocess.Popen(  # noqa: S603  the user's own pipeline
            [program, "-v", *words, "!", "fdsink", f"name={_SINK}", f"fd={end}"],
            pass_fds=[end],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "LC_ALL": "C"},  # its messages are read
            start_new_session=True,  # a Ctrl-C is for edgenn, which then ends it
        )
    except OSError as error:
        os.close(data)
        raise SourceError(f"gst-launch-1.0 cannot be started: {error.strerror}") from error
    finally:
        os.close(end)
    return data, process


def _value(caps: str, key: str) -> str:
    found = re.search(rf"\b{key}=(?:\(\w+\))?([\d/]+)", caps)
    return found[1] if found else "0"
